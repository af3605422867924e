"""What the documents show works: Python blocks run, and every option and command that is named exists."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import click
import pytest

import tallystick
from tallystick.cli.main import COMMANDS, group, main

ROOT = Path(__file__).parent.parent
NAMES = (
    "guide.md",
    "eden.md",
    "contexts.md",
    "tasks.md",
    "bundles.md",
    "streams.md",
    "notifications.md",
    "stores.md",
    "coming-from-kopano.md",
)
PAGES = [ROOT / "README.md", *(ROOT / "docs" / name for name in NAMES)]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    connection = sqlite3.connect("clinic.db")
    connection.execute("CREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT)")
    connection.execute("INSERT INTO patients VALUES ('p', 'Ann')")
    connection.commit()
    connection.close()
    monkeypatch.setenv("TALLYSTICK_KEY", "")  # pages set their own
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)
    if page.name == "README.md":
        assert "1 0" in capsys.readouterr().out


def options():
    found = {"--help", "--debug", "--version"}
    context = click.Context(group)
    queue = [group.get_command(context, name) for name in COMMANDS]
    for command in queue:
        found |= {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        if isinstance(command, click.Group):
            queue.extend(command.commands.values())
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_that_is_named_exists(page):
    named = set(re.findall(r"(?<![-\w])--[a-z][a-z-]+", page.read_text(encoding="utf-8")))
    assert named <= options()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_named_exists(page):
    shown = re.findall(r"(?:^    |`)tallystick ([a-z][a-z-]*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert shown
    assert set(shown) <= {*COMMANDS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


COMMAND = re.compile(r"^ {4,}tallystick ((?:changes|webhooks|import-mail) .*)$", re.MULTILINE)


@pytest.mark.parametrize("name", ("streams.md", "notifications.md"))
def test_commands_at_a_database_run(name, tmp_path, monkeypatch, capsys):
    """In the order they are shown; those that follow for ever, or need a machine of their own, are left out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALLYSTICK_KEY_FILE", str(tmp_path / "key"))
    connection = sqlite3.connect("clinic.db")
    connection.execute("CREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT)")
    connection.commit()
    connection.close()
    with tallystick.open("clinic.db") as site:
        site.track()
        state = site.state()
    ran = 0
    for line in COMMAND.findall((ROOT / "docs" / name).read_text(encoding="utf-8")):
        if "--follow" in line or line.startswith("changes http"):
            continue
        with pytest.raises(SystemExit) as left:
            main([state if word == "STATE" else word for word in line.split()])
        assert not left.value.code, capsys.readouterr().err
        ran += 1
    assert ran
