"""``tallystick sync`` and ``verify`` on directories."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest


@pytest.fixture
def sync(run, tmp_path, monkeypatch):
    """Runs the command on directories of the test; their memory lies in the test's directory too."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "a").mkdir()
    return lambda *words: run("sync", *words)


def grow(root, **files):
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def shown(root):
    return {
        str(path.relative_to(root)): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_the_second_directory_is_made_and_takes_everything(sync, tmp_path):
    grow(tmp_path / "a", x_txt="one", d__y="two")
    done = sync("a", "b")
    assert (done.code, done.err) == (0, "")
    assert "2 files, 6 B written" in done.out
    assert shown(tmp_path / "b") == {"x.txt": "one", "d/y": "two"}
    assert "in agreement" in sync("a", "b").out


def test_of_many_lines_of_a_kind_the_first_are_said_and_how_many_more_there_are(sync, tmp_path):
    (tmp_path / "b").mkdir()
    for number in range(23):
        grow(tmp_path / "a", **{f"f{number:02}": "here"})
        grow(tmp_path / "b", **{f"f{number:02}": "there"})
    planned = sync("a", "b", "--dry-run").out
    assert "conflict: f00; the other version would be in f00.conflict-" in planned
    done = sync("a", "b")
    said = [line for line in done.out.splitlines() if line.startswith("conflict: ")]
    assert (done.code, len(said), said[-1]) == (1, 21, "conflict: 3 more; --json has them all")


def test_what_is_held_back_is_not_said_to_be_in_history(sync, tmp_path):
    grow(tmp_path / "a", x="1", y="2")
    grow(tmp_path / "b", z="only here")
    sync("a", "b")
    for path in (tmp_path / "a").iterdir():
        path.unlink()
    (tmp_path / "b" / "z").write_text("edited")
    done = sync("a", "b", "--mirror")
    assert (done.code, shown(tmp_path / "b")["z"]) == (4, "edited")
    assert "conflict: z; held back, both versions stay" in done.out


def test_watching_and_only_planning_exclude_each_other(sync):
    done = sync("a", "b", "--watch", "--dry-run")
    assert (done.code, "say one of them" in done.err) == (2, True)


@pytest.mark.parametrize("options", ((), ("--mirror",), ("--direction", "push")))
def test_a_first_directory_that_is_not_there_empties_nothing(sync, tmp_path, options):
    grow(tmp_path / "a", x="one", y="two")
    done = sync("nowhere", "a", *options)
    assert (done.code, "there is no directory" in done.err) == (2, True)
    assert shown(tmp_path / "a") == {"x": "one", "y": "two"}
    assert not (tmp_path / "nowhere").exists()


def test_the_order_of_the_names_does_not_matter_to_what_is_remembered(sync, tmp_path):
    grow(tmp_path / "a", x="one", y="two")
    sync("a", "b")
    (tmp_path / "b" / "x").unlink()
    assert sync("b", "a").code == 0
    assert shown(tmp_path / "a") == {"y": "two"}


def test_the_memory_lies_outside_of_both_trees_and_where_it_is_told_to(sync, tmp_path):
    grow(tmp_path / "a", x="one")
    sync("a", "b")
    assert list((tmp_path / "state" / "tallystick" / "trees").glob("*.db"))
    sync("a", "b", "--state", "elsewhere")
    assert list((tmp_path / "elsewhere").glob("*.db"))
    assert sorted(os.listdir(tmp_path / "a")) == sorted(os.listdir(tmp_path / "b")) == ["x"]


def test_a_dry_run_shows_the_plan_and_changes_nothing(sync, tmp_path):
    grow(tmp_path / "a", x="one", d__y="two", d__z="three")
    done = sync("a", "b", "--dry-run")
    assert done.out.splitlines() == [
        "-> copy   d (2 files)  [A new, B absent]",
        "-> write  x  [A new, B absent]",
        "2 actions; 3 files, 11 B to write",
    ]
    assert not (tmp_path / "b").exists()
    sync("a", "b")
    (tmp_path / "b" / "x").unlink()
    assert "<- remove x  [A unchanged, B deleted]" in sync("a", "b", "--dry-run").out
    assert "-> remove x  [A deleted, B unchanged]" in sync("b", "a", "--dry-run").out
    assert (tmp_path / "a" / "x").exists()


def test_a_conflict_keeps_both_and_says_where(sync, tmp_path):
    grow(tmp_path / "a", x_txt="start")
    sync("a", "b")
    grow(tmp_path / "a", x_txt="mine")
    grow(tmp_path / "b", x_txt="theirs")
    done = sync("a", "b", "--json")
    assert done.code == 1
    (conflict,) = done.json["conflicts"]
    assert set(shown(tmp_path / "a").values()) == {"mine", "theirs"}
    assert shown(tmp_path / "a") == shown(tmp_path / "b")
    assert conflict["copy"].startswith("x.conflict-")
    assert sync("a", "b").code == 0


@pytest.mark.parametrize(
    ("policy", "names", "winner"),
    (
        ("this", ("a", "b"), "mine"),
        ("other", ("a", "b"), "theirs"),
        ("this", ("b", "a"), "theirs"),
        ("other", ("b", "a"), "mine"),
        ("newer", ("a", "b"), "theirs"),
        ("newer", ("b", "a"), "theirs"),
    ),
)
def test_a_policy_decides_and_the_loser_is_in_history(sync, tmp_path, policy, names, winner):
    grow(tmp_path / "a", x="start")
    sync("a", "b")
    grow(tmp_path / "a", x="mine")
    grow(tmp_path / "b", x="theirs")
    os.utime(tmp_path / "a" / "x", (1, 1))
    done = sync(*names, "--conflict", policy, "--json")
    assert done.code == 1
    assert shown(tmp_path / "a") == shown(tmp_path / "b") == {"x": winner}
    kept = done.json["history"]["x"]
    with open(kept, encoding="utf-8") as file:
        assert file.read() == ({"mine", "theirs"} - {winner}).pop()


def test_a_push_writes_b_only_and_a_pull_a_only(sync, tmp_path):
    grow(tmp_path / "a", common="c", mine="m")
    sync("a", "b")
    grow(tmp_path / "a", new="n")
    grow(tmp_path / "b", theirs="t")
    (tmp_path / "a" / "mine").unlink()
    assert sync("a", "b", "--direction", "push").code == 0
    assert shown(tmp_path / "b") == {"common": "c", "new": "n", "theirs": "t"}
    assert shown(tmp_path / "a") == {"common": "c", "new": "n"}
    assert sync("a", "b", "--direction", "pull").code == 0
    assert shown(tmp_path / "a") == shown(tmp_path / "b")


def test_a_mirror_makes_the_other_side_equal(sync, tmp_path):
    grow(tmp_path / "a", x="one")
    sync("a", "b")
    grow(tmp_path / "b", x="edited", extra="only there")
    done = sync("a", "b", "--mirror", "--json")
    assert shown(tmp_path / "b") == shown(tmp_path / "a") == {"x": "one"}
    assert set(done.json["history"]) == {"x", "extra"}
    grow(tmp_path / "b", back="b")
    sync("a", "b", "--mirror", "--direction", "pull")
    assert shown(tmp_path / "a") == {"x": "one", "back": "b"}


@pytest.mark.parametrize(("source", "target"), (("a", "b"), ("b", "a")))
@pytest.mark.parametrize("direction", ("push", "pull"))
def test_a_mirror_names_the_sides_as_they_were_named(sync, tmp_path, source, target, direction):
    (tmp_path / "b").mkdir()
    grow(tmp_path / source, **{f"f{number}": "x" for number in range(12)})
    sync("a", "b")
    grow(tmp_path / target, extra="only there")
    ends = (source, target) if direction == "push" else (target, source)
    arrow, reason = ("->", "A absent, B new") if direction == "push" else ("<-", "A new, B absent")
    words = (*ends, "--mirror", "--direction", direction, "--dry-run")
    assert f"{arrow} remove extra  [{reason}]" in sync(*words).out
    planned = sync(*words, "--json").json["actions"]
    assert [(action["at"], action["reason"]) for action in planned] == [("b" if arrow == "->" else "a", reason)]
    for path in (tmp_path / source).iterdir():
        path.unlink()
    held = sync(*words).err
    assert f"held: {arrow} remove f0" in held
    assert f"the {'A' if direction == 'push' else 'B'} side is empty" in held


@pytest.mark.parametrize("more", ((), ("--dry-run",)))
def test_trees_that_could_not_be_read_whole_are_not_said_to_agree(sync, tmp_path, more):
    grow(tmp_path / "a", x="one")
    sync("a", "b")
    (tmp_path / "a" / "/".join(["d"] * 600)).mkdir(parents=True)
    sync("a", "b")
    done = sync("a", "b", *more)
    assert done.code == 3
    assert "unreadable: d/d/" in done.err
    assert "in agreement" not in done.out


def test_an_addition_deletes_nothing(sync, tmp_path):
    grow(tmp_path / "a", x="one", y="two")
    sync("a", "b")
    (tmp_path / "a" / "x").unlink()
    grow(tmp_path / "a", z="three")
    sync("a", "b", "--direction", "push", "--strategy", "create,update")
    assert shown(tmp_path / "b") == {"x": "one", "y": "two", "z": "three"}
    assert sync("a", "b", "--strategy", "create,update").code == 2


def test_deletions_are_held_until_they_are_let_through(sync, tmp_path):
    grow(tmp_path / "a", **{f"f{number}": "x" for number in range(12)})
    sync("a", "b")
    for path in (tmp_path / "a").iterdir():
        path.unlink()
    held = sync("a", "b")
    assert held.code == 4
    assert "held: -> remove f0" in held.err
    assert "--allow-deletes" in held.err
    assert len(shown(tmp_path / "b")) == 12
    assert sync("a", "b", "--allow-deletes", "11").code == 4
    assert sync("a", "b", "--allow-deletes", "12").code == 0
    assert shown(tmp_path / "b") == {}
    assert sync("a", "b", "--allow-deletes", "some").code == 2


def test_ignored_paths_are_left_out_and_explained(sync, tmp_path):
    grow(tmp_path / "a", _tallyignore="*.o\nbuild/\n", m_o="x", keep_o="k", build__y="y", n_txt="n")
    sync("a", "b", "--exclude", "*.txt", "--include", "keep.o")
    assert shown(tmp_path / "b") == {".tallyignore": "*.o\nbuild/\n", "keep.o": "k"}
    explain = sync("a", "b", "--explain", "build/y").out
    assert "build/y: left out by the pattern 'build/' of .tallyignore at A" in explain
    assert "synchronized; no pattern matches" in sync("a", "b", "--explain", "n.txt").out
    assert "'!keep.o' of command line" in sync("a", "b", "--explain", "keep.o", "--include", "keep.o").out
    assert sync("a", "b", "--explain", "m.o", "--json").json["ignored"] is True
    for spelled in ("./build//y", "d/../build/y", str(tmp_path / "a" / "build" / "y")):
        assert sync("a", "b", "--explain", spelled).out == explain
    assert sync("a", "b", "--explain", "../a/build").code == 2
    sync("a", "b", "--no-ignore-files")
    assert (tmp_path / "b" / "m.o").exists()


def test_a_missing_root_stops_with_the_guards_code_and_a_new_one_has_to_be_accepted(sync, tmp_path):
    grow(tmp_path / "a", x="one")
    sync("a", "b")
    os.rename(tmp_path / "b", tmp_path / "away")
    done = sync("a", "b")
    assert (done.code, shown(tmp_path / "a")) == (4, {"x": "one"})
    assert "[RootMissing]" in done.err
    (tmp_path / "b").mkdir()
    assert "[RootChanged]" in sync("a", "b").err
    assert sync("a", "b", "--accept-root").code == 0
    assert shown(tmp_path / "b") == {"x": "one"}


@pytest.mark.parametrize(
    ("words", "message"),
    (
        (("a", "b", "--where", "x: y eq 1"), "--where does not concern directories"),
        (("a", "b", "--map", "a.x=b.y"), "--map does not concern directories"),
        (("a", "b", "--conflict", "ask"), "no policy for directories"),
        (("a", "b", "--strategy", "merge"), "does not concern directories"),
        (("a", "a/inner"), "lies in"),
        (("a", "a"), "lies in"),
        (("a", "file"), "and file is none"),
        (("nothing/", "nowhere/"), "is no directory"),
        (("x.db", "y.db", "--watch"), "--watch does not concern databases and sites"),
        (("x.db", "y.db", "--no-ignore-files"), "--no-ignore-files does not concern databases and sites"),
    ),
)
def test_what_makes_no_sense_is_refused_by_name_and_changes_nothing(sync, tmp_path, words, message):
    (tmp_path / "file").write_text("x")
    done = sync(*words)
    assert done.code == 2
    assert message in done.err
    assert sorted(os.listdir(tmp_path)) == ["a", "file"]


def test_odd_names_are_escaped_for_terminals_and_in_json(sync, run, tmp_path):
    with open(os.fsencode(tmp_path / "a") + b"/\x1b[31m\xff", "wb"):
        pass
    assert "\x1b" not in sync("a", "b", "--dry-run").out
    (action,) = sync("a", "b", "--json").json["actions"]
    assert action["path"] == "\x1b[31m\\xff"
    os.symlink("/\x1b[32m", tmp_path / "a" / "link")
    assert "/\\x1b[32m" in sync("a", "b").err
    os.remove(os.fsencode(tmp_path / "b") + b"/\x1b[31m\xff")
    assert run("verify", "a", "b").out == "only at A: \\x1b[31m\\xff\n"
    assert run("verify", "a", "b", "--json").json["only_a"] == ["\x1b[31m\\xff"]
    assert run("sync", "a", "b", "--explain", "\x1b\udcff").out == "\\x1b\\xff: synchronized; no pattern matches\n"


def test_verify_reads_everything_and_says_what_differs(sync, run, tmp_path):
    grow(tmp_path / "a", same="s", size="longer", content="abc", mine="m", d__deep="x", ignored_o="o")
    grow(tmp_path / "a", _tallyignore="*.o\n")
    sync("a", "b")
    assert run("verify", "a", "b").out == "agree: 6 files, 16 bytes\n"
    grow(tmp_path / "b", size="short", content="xyz", theirs="t", other_o="o")
    (tmp_path / "b" / "mine").unlink()
    (tmp_path / "b" / "same").chmod(0o755)
    done = run("verify", "a", "b", "--json")
    assert done.code == 1
    assert done.json["different"] == ["content", "size"]
    assert (done.json["only_a"], done.json["only_b"]) == (["mine"], ["theirs"])
    assert done.json["permissions"] == ["same"]
    assert "only at A: mine" in run("verify", "a", "b", "--exclude", "size").out
    assert run("verify", "a", "b", "--only", "x").code == 2


def test_watching_carries_changes_in_both_directions(sync, tmp_path):
    grow(tmp_path / "a", x="one")
    watching = subprocess.Popen(
        [sys.executable, "-m", "tallystick.cli.main", "sync", "a", "b", "--watch"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells let background jobs ignore it
    )
    try:
        eventually(lambda: shown(tmp_path / "b") == {"x": "one"} if (tmp_path / "b").is_dir() else False)
        grow(tmp_path / "a", d__new="from a")
        eventually(lambda: shown(tmp_path / "b").get("d/new") == "from a")
        grow(tmp_path / "b", d__back="from b")
        eventually(lambda: shown(tmp_path / "a").get("d/back") == "from b")
        (tmp_path / "b" / "x").unlink()
        eventually(lambda: "x" not in shown(tmp_path / "a"))
    finally:
        watching.send_signal(signal.SIGINT)
        out, err = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert "Traceback" not in err
    assert out.count("written") >= 3


def eventually(condition):
    """Wait for what another process does; gives up after a time that no machine needs."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came true")
