"""``tallystick mount``: arrive, run, store; exit codes and signals."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tallystick.web.server import running

PYTHON = sys.executable


@pytest.fixture
def mount(run, people, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def call(directory, code, *options, site="a.db"):
        return run("mount", site, "work", directory, "--at", "/data", *options, "--", PYTHON, "-c", code)

    return call


WRITE = "import os, pathlib; pathlib.Path(os.environ['TALLYSTICK_MOUNT'], {!r}).write_text({!r})"


def test_what_the_command_leaves_is_stored_and_arrives_elsewhere(mount, tmp_path):
    assert mount("d", WRITE.format("f", "hi")).code == 0

    assert mount("e", "import sys; sys.exit(open('e/f').read() != 'hi')").code == 0


def test_a_served_site_is_mounted_the_same_way(mount, tmp_path):
    with running(str(tmp_path / "a.db")) as address:
        assert mount("d", WRITE.format("f", "hi"), site=address).code == 0
    assert mount("e", "import sys; sys.exit(open('e/f').read() != 'hi')").code == 0


def test_the_exit_code_of_the_command_is_kept_and_its_files_are_stored(run, mount):
    assert mount("d", WRITE.format("f", "hi") + "; raise SystemExit(7)").code == 7
    assert mount("d", "import os; os.kill(os.getpid(), 9)").code == 137
    assert [item["path"] for item in run("contexts", "files", "a.db", "work", "/data", "--json").json] == ["/data/f"]


def test_a_command_that_is_not_there_is_said_to_be_missing(run, mount, tmp_path):
    missing = run("mount", "a.db", "work", "d", "--", "./nothing-here")
    assert (missing.code, "./nothing-here" in missing.err) == (127, True)


def test_a_directory_mounted_again_remembers_what_it_held(mount, tmp_path):
    mount("d", WRITE.format("f", "hi") + ";" + WRITE.format("g", "ho"))
    os.remove(tmp_path / "d" / "f")

    assert mount("d", "import os, sys; sys.exit(os.listdir('d') != ['g'])").code == 0
    assert mount("e", "import os, sys; sys.exit(os.listdir('e') != ['g'])").code == 0


def test_what_is_left_out_and_what_was_kept_twice_is_said(run, mount, tmp_path):
    (tmp_path / "fake.zip").write_text("this is no archive")
    (tmp_path / "f").write_text("theirs")
    for name in ("fake.zip", "f"):
        run("contexts", "create", "a.db", "work")
        run("contexts", "put", "a.db", "work", name, f"/data/{name}")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("mine")

    done = mount("d", "import os; os.symlink('/etc', 'd/out')")

    assert done.code == 0
    assert "conflict: f;" in done.err
    assert "warning: [ArchiveRefused] fake.zip" in done.err
    assert "warning: [skipped] out: the link leaves the tree: /etc" in done.err


def test_a_policy_file_decides(run, mount, tmp_path):
    (tmp_path / "policy.toml").write_text('[[bwList.whiteLists]]\npath = "src"\n')

    assert (
        mount(
            "d", "import os; os.mkdir('d/src'); open('d/src/a', 'w'); open('d/b', 'w')", "--policy", "policy.toml"
        ).code
        == 0
    )

    assert [item["path"] for item in run("contexts", "files", "a.db", "work", "/data", "--json").json] == ["/data/src/"]


@pytest.mark.parametrize(
    "text", ("uploadPolicy = ", "[uploadPolicy]\nautoUplaod = true", '[uploadPolicy]\nuploadMode = "Zip"')
)
def test_a_policy_that_cannot_be_is_refused_before_anything_is_done(run, mount, tmp_path, text):
    (tmp_path / "policy.toml").write_text(text)

    assert mount("d", "1", "--policy", "policy.toml").code in (2, 3)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("place", ("/", "relative", "/a/../b"))
def test_a_path_that_cannot_be_mounted_is_a_wrong_call_that_makes_nothing(run, mount, place):
    done = run("mount", "a.db", "work", "d", "--at", place, "--", PYTHON, "-c", "print('started')")

    assert (done.code, "[InvalidBinding]" in done.err, "started" in done.out) == (2, True, False)
    assert run("contexts", "list", "a.db", "--json").json == []


def test_deletions_that_a_guard_holds_end_with_4_and_are_not_done(run, mount):
    mount("d", "\n".join(f"open('d/f{n}', 'w')" for n in range(12)))

    held = mount("d", "import os\nfor name in os.listdir('d'): os.remove(f'd/{name}')")

    assert (held.code, "[DeletionsHeld]" in held.err) == (4, True)
    assert len(run("contexts", "files", "a.db", "work", "/data", "--json").json) == 12


def test_held_deletions_are_named_with_the_option_that_lets_them_through_either_way(run, mount, tmp_path):
    fill = "\n".join(f"open('d/f{n}', 'w')" for n in range(12))
    empty = "import os\nfor name in os.listdir('d'): os.remove(f'd/{name}')"
    mount("d", fill)
    mount("e", "1")

    assert "--allow-deletes" in mount("d", empty).err
    assert mount("d", "1", "--allow-deletes", "11").code == 4
    assert mount("d", "1", "--allow-deletes", "12").code == 0
    assert run("contexts", "files", "a.db", "work", "/data", "--json").json == []

    stopped = mount("e", "open('ran', 'w')")
    assert (stopped.code, "--allow-deletes" in stopped.err, (tmp_path / "ran").exists()) == (4, True, False)
    assert mount("e", "1", "--allow-deletes", "all").code == 0
    assert os.listdir(tmp_path / "e") == []


def test_a_directory_made_anew_is_united_with_the_context_when_it_is_accepted(run, mount, tmp_path):
    mount("d", WRITE.format("f", "hi") + ";" + WRITE.format("g", "ho"))
    (tmp_path / "d").rename(tmp_path / "elsewhere")

    assert "--accept-root" in mount("d", "1").err
    assert mount("d", "1", "--accept-root").code == 0
    assert sorted(os.listdir(tmp_path / "d")) == ["f", "g"]

    (tmp_path / "d").rename(tmp_path / "again")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "new").write_text("new")
    assert mount("d", "1").code == 4
    assert mount("d", "1", "--accept-root").code == 0
    assert sorted(os.listdir(tmp_path / "d")) == ["f", "g", "new"]
    assert mount("d", "import os; os.remove('d/f')").code == 0
    listed = run("contexts", "files", "a.db", "work", "/data", "--json").json
    assert [item["path"] for item in listed] == ["/data/g", "/data/new"]


def test_a_vanished_directory_stops_before_the_command(mount, tmp_path):
    mount("d", WRITE.format("f", "hi"))
    (tmp_path / "d").rename(tmp_path / "elsewhere")

    stopped = mount("d", "open('ran', 'w')")

    assert (stopped.code, "[RootMissing]" in stopped.err, (tmp_path / "ran").exists()) == (4, True, False)


def test_a_signal_is_passed_on_and_the_files_are_stored(run, people, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    code = (
        "import signal, sys, time, pathlib\n"
        "def stop(*_): pathlib.Path('d/stopped').write_text('x'); sys.exit(5)\n"
        "signal.signal(signal.SIGTERM, stop); open('ready', 'w').close(); time.sleep(600)"
    )
    words = [
        PYTHON,
        "-m",
        "tallystick.cli.main",
        "mount",
        "a.db",
        "work",
        "d",
        "--at",
        "/data",
        "--",
        PYTHON,
        "-c",
        code,
    ]
    process = subprocess.Popen(words, cwd=tmp_path)
    try:
        while not (tmp_path / "ready").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 5
    finally:
        process.kill()

    assert [item["path"] for item in run("contexts", "files", "a.db", "work", "/data", "--json").json] == [
        "/data/stopped"
    ]
