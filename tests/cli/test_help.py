"""Help: every command shows examples, and every example is a command line that would be taken."""

from __future__ import annotations

import shlex

import click
import pytest

from tallystick.cli.main import COMMANDS, group


def leaves():
    context = click.Context(group)
    queue = [(name, group.get_command(context, name)) for name in COMMANDS]
    for name, command in queue:
        if isinstance(command, click.Group):
            queue.extend((f"{name} {below}", one) for below, one in command.commands.items())
        else:
            yield name, command


LEAVES = dict(leaves())


def examples(text):
    return [line.strip() for line in (text or "").splitlines() if line.strip().startswith("tallystick ")]


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_every_command_shows_an_example_of_itself(name):
    assert any(line.startswith(f"tallystick {name} ") for line in examples(LEAVES[name].help))


SHOWN = sorted({line for command in (group, *LEAVES.values()) for line in examples(command.help)})


@pytest.mark.parametrize("line", SHOWN)
def test_every_example_is_a_command_line_that_is_taken(line):
    words = shlex.split(line)[1:]
    name = next(" ".join(words[:depth]) for depth in (2, 1) if " ".join(words[:depth]) in LEAVES)
    command = LEAVES[name]
    with command.make_context(name, words[len(name.split()) :]) as context:
        assert context.params


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_every_option_says_what_it_does(name):
    silent = [one.opts[0] for one in LEAVES[name].params if isinstance(one, click.Option) and not one.help]
    assert silent == []
