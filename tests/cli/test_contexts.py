"""``tallystick contexts``, and ``sync`` with a context of a served site."""

import os
import signal
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from tallystick.web.server import running


@pytest.fixture
def site(run, people, tmp_path):
    assert run("contexts", "create", "a.db", "ws", "--quota", "1MiB").code == 0
    return "a.db"


def test_files_go_in_are_listed_and_come_out(run, site, tmp_path):
    (tmp_path / "f.txt").write_bytes(b"hello")

    assert run("contexts", "put", site, "ws", "f.txt", "/docs/f.txt").code == 0
    assert run("contexts", "files", site, "ws", "--json").json[0]["path"] == "/docs/"
    listed = run("contexts", "files", site, "ws", "/docs", "--json").json
    assert [(item["path"], item["size"]) for item in listed] == [("/docs/f.txt", 5)]
    assert run("contexts", "get", site, "ws", "/docs/f.txt", "copy").code == 0
    assert (tmp_path / "copy").read_bytes() == b"hello"
    assert run("contexts", "rm", site, "ws", "/docs/f.txt").code == 0
    assert run("contexts", "get", site, "ws", "/docs/f.txt", "copy").code == 2
    shown = run("contexts", "show", site, "ws", "--json").json
    assert (shown["name"], shown["files"], shown["quota_bytes"]) == ("ws", 0, 1 << 20)


def test_odd_names_are_escaped_for_terminals_and_in_json(run, site, tmp_path):
    odd, escaped = "/\x1b[31m\udcff\nä", "/\\x1b[31m\\xff\\nä"
    (tmp_path / "f.txt").write_bytes(b"hello")

    assert run("contexts", "put", site, "ws", "f.txt", odd).out == f"stored: {escaped}\n"
    assert escaped in run("contexts", "files", site, "ws").out
    assert run("contexts", "files", site, "ws", "--json").json[0]["path"] == "/\x1b[31m\\xff\nä"
    assert run("contexts", "rm", site, "ws", odd).out == f"removed: {escaped}\n"
    assert escaped in run("contexts", "history", site, "ws").out
    assert run("contexts", "history", site, "ws", "--json").json[0]["path"] == "/\x1b[31m\\xff\nä"
    assert run("contexts", "restore", site, "ws", odd).out.startswith(f"restored: {escaped}\n")


def test_a_file_that_is_put_into_a_folder_keeps_its_name(run, site, tmp_path):
    (tmp_path / "f.txt").write_bytes(b"hello")
    for place, stored in (("/", "/f.txt"), ("docs/", "docs/f.txt"), ("/docs", "/docs/f.txt")):
        assert run("contexts", "put", site, "ws", "f.txt", place).out == f"stored: {stored}\n"
    refused = run("contexts", "put", site, "ws", "-", "/docs")
    assert (refused.code, "standard input has no name" in refused.err) == (2, True)
    listed = run("contexts", "files", site, "ws", "--json").json
    assert [item["path"] for item in listed] == ["/docs/", "/f.txt"]


def test_what_is_no_folder_is_not_listed_as_an_empty_one(run, site, tmp_path):
    assert run("contexts", "files", site, "ws").code == 0
    missing = run("contexts", "files", site, "ws", "nowhere")
    assert (missing.code, "holds no folder 'nowhere'" in missing.err) == (2, True)
    (tmp_path / "f.txt").write_bytes(b"hello")
    run("contexts", "put", site, "ws", "f.txt", "/")
    assert "'/f.txt' is no folder" in run("contexts", "files", site, "ws", "/f.txt").err


def test_creating_the_first_context_makes_the_site(run, tmp_path):
    assert run("contexts", "list", "hub.db").code == 2
    assert run("contexts", "create", "hub.db", "ws").code == 0
    assert [found["name"] for found in run("contexts", "list", "hub.db", "--json").json] == ["ws"]


def test_what_was_replaced_or_removed_is_listed_and_brought_back(run, site, tmp_path):
    for content in ("first", "second"):
        (tmp_path / "f.txt").write_text(content)
        assert run("contexts", "put", site, "ws", "f.txt", "/docs/f.txt").code == 0
    assert run("contexts", "rm", site, "ws", "/docs/f.txt").code == 0

    listed = run("contexts", "history", site, "ws", "/docs", "--json").json
    assert [(item["path"], item["size"]) for item in listed] == [("/docs/f.txt", 6), ("/docs/f.txt", 5)]
    assert run("contexts", "restore", site, "ws", "/docs/f.txt").code == 0
    older = run("contexts", "restore", site, "ws", "/docs/f.txt", "--version", listed[1]["version"], "--as", "/old")
    assert older.code == 0
    for path, content in (("/docs/f.txt", "second"), ("/old", "first")):
        assert run("contexts", "get", site, "ws", path, "copy").code == 0
        assert (tmp_path / "copy").read_text() == content
    missing = run("contexts", "restore", site, "ws", "/docs/f.txt", "--version", "0000")
    assert (missing.code, "contexts history" in missing.err) == (2, True)


def test_what_cannot_be_undone_needs_a_yes(run, site):
    assert run("contexts", "delete", site, "ws").code == 4
    assert run("contexts", "clear", site, "ws").code == 4
    assert run("contexts", "clear", site, "ws", "--yes").code == 0
    assert run("contexts", "delete", site, "ws", "--yes").code == 0
    missing = run("contexts", "show", site, "ws")
    assert (missing.code, "no context 'ws'" in missing.err) == (2, True)
    assert run("contexts", "list", site, "--json").json == []


def test_recycle_rules_are_set_shown_and_removed(run, site):
    wrong = run("contexts", "recycle", site, "ws", "/tmp", "--lifecycle", "Lifecycle_7Days")
    assert (wrong.code, "Lifecycle_5Days" in wrong.err) == (2, True)
    found = run("contexts", "recycle", site, "ws", "/tmp", "--lifecycle", "Lifecycle_1Day", "--json").json
    assert found == {"": [{"path": "/tmp", "lifecycle": "Lifecycle_1Day"}]}
    assert run("contexts", "recycle", site, "ws", "--lifecycle", "none", "--json").json == {}
    assert run("contexts", "sweep", site, "--json").json["expired"] == 0


def test_a_quota_is_kept_and_a_size_that_is_none_is_refused(run, site, tmp_path):
    (tmp_path / "big").write_bytes(bytes(2 << 20))

    full = run("contexts", "put", site, "ws", "big", "/big")
    assert (full.code != 0, "QuotaExceeded" in full.err) == (True, True)
    assert run("contexts", "create", site, "ws", "--quota", "much").code == 2


def test_content_is_kept_where_it_was_said_wherever_the_site_is_opened_from(run, people, tmp_path, monkeypatch):
    (tmp_path / "f").write_bytes(b"content")
    assert run("contexts", "create", "a.db", "ws", "--store", "elsewhere").code == 0
    assert run("contexts", "put", "a.db", "ws", "f", "/f").code == 0
    assert run("contexts", "create", "a.db", "ws", "--store", "third").code == 2
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")

    assert run("contexts", "get", "../a.db", "ws", "/f", "copy").code == 0
    assert (tmp_path / "sub" / "copy").read_bytes() == b"content"
    assert (tmp_path / "elsewhere" / "packs").is_dir()


def test_a_directory_goes_to_a_served_site_and_to_another_directory(run, site, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "f").write_text("x")
    with running(site) as url:
        first = run("sync", "one", f"{url}contexts/tree", "--json").json
        assert (first["files"], first["succeeded"]) == (1, True)
        assert run("sync", "one", f"{url}contexts/tree", "--json").json["actions"] == []
        assert run("sync", f"{url}contexts/tree", "two").code == 0
        assert (tmp_path / "two" / "f").read_text() == "x"
        assert run("contexts", "files", url, "tree", "--json").json[0]["path"] == "/f"
        mixed = run("sync", f"{url}contexts/tree", site)
        assert (mixed.code, "two trees" in mixed.err) == (2, True)
        assert run("contexts", "create", url, "other", "--store", "/x").code == 2


def test_a_directory_that_vanished_deletes_nothing_in_a_context_and_is_not_made_anew(run, site, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "only").write_text("one")
    with running(str(tmp_path / site)) as address:
        assert run("sync", "work", f"{address}contexts/ws").code == 0
        os.rename(tmp_path / "work", tmp_path / "away")
        vanished = run("sync", "work", f"{address}contexts/ws")
        assert (vanished.code, "[RootMissing]" in vanished.err, (tmp_path / "work").exists()) == (4, True, False)
        assert run("sync", "fresh", f"{address}contexts/ws").code == 0
    assert (tmp_path / "fresh" / "only").read_text() == "one"


def test_a_dry_run_shows_what_would_come_of_trees_that_are_not_there_and_makes_none(run, site, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "f").write_text("one")
    with running(str(tmp_path / site)) as address:
        planned = run("sync", "work", f"{address}contexts/fresh", "--dry-run", "--json").json["actions"]
        assert [(action["verb"], action["at"], action["path"]) for action in planned] == [("write", "b", "f")]
        assert [item["name"] for item in run("contexts", "list", address, "--json").json] == ["ws"]
        assert run("sync", "work", f"{address}contexts/ws").code == 0
        planned = run("sync", f"{address}contexts/ws", "copy", "--dry-run", "--json").json["actions"]
        assert [(action["verb"], action["at"], action["path"]) for action in planned] == [("write", "b", "f")]
        assert not (tmp_path / "copy").exists()
        assert run("sync", "work", f"{address}contexts/ws", "--xattrs").code == 2


def test_contexts_stay_where_their_content_is(run, site, tmp_path):
    (tmp_path / "f").write_text("x")
    run("contexts", "put", site, "ws", "f", "/f")

    assert run("sync", site, "b.db").code == 0

    assert run("contexts", "list", "b.db", "--json").json == []
    assert "contexts/" not in run("status", "b.db").out
    assert run("verify", site, "b.db").code == 0


@pytest.fixture
def synchronized(run, site, tmp_path, monkeypatch):
    """A directory and a context of a served site that agree; gives the URL of the context."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "one" / "d").mkdir(parents=True)
    (tmp_path / "one" / "f").write_text("x")
    (tmp_path / "one" / "d" / "g").write_text("yy")
    (tmp_path / "one" / ".tallyignore").write_text("*.o\n/out/\n")
    with running(site) as url:
        assert run("sync", "one", f"{url}contexts/tree").code == 0
        yield f"{url}contexts/tree"


def test_verify_compares_a_directory_with_a_context(run, synchronized, tmp_path):
    (tmp_path / "one" / "left.o").write_text("not synchronized")
    agreed = run("verify", "one", synchronized)
    assert (agreed.code, agreed.out) == (0, "agree: 3 files, 13 bytes\n")

    (tmp_path / "one" / "f").write_text("z")
    (tmp_path / "one" / "new").write_text("n")
    differing = run("verify", synchronized, "one", "--json")
    assert differing.code == 1
    assert (differing.json["different"], differing.json["only_b"]) == (["f"], ["new"])


def test_a_deep_verification_finds_content_that_was_damaged_where_it_is_stored(run, synchronized, tmp_path):
    content = os.urandom(200_000)
    (tmp_path / "one" / "d" / "g").write_bytes(content)
    assert run("sync", "one", synchronized).code == 0
    assert run("verify", "one", synchronized, "--deep").code == 0
    for pack in (tmp_path / "a.db.content").rglob("*"):
        if pack.is_file() and content in pack.read_bytes():
            damaged = pack.read_bytes().replace(content[:9], bytes(9))
            pack.chmod(0o644)
            pack.write_bytes(damaged)

    assert run("verify", "one", synchronized).code == 0
    deep = run("verify", "one", synchronized, "--deep", "--json")
    assert (deep.code, deep.json["agree"]) == (1, False)
    assert any(path.endswith("/d/g") for path in deep.json["unreadable"])


def damage(place, content, pack_is_gone):
    for pack in place.rglob("*"):
        if pack.is_file() and content in pack.read_bytes():
            damaged = pack.read_bytes().replace(content[:9], bytes(9))
            pack.chmod(0o644)
            pack.write_bytes(damaged)
            if pack_is_gone:
                pack.unlink()


@pytest.mark.parametrize("pack_is_gone", (False, True))
def test_repair_sends_again_what_was_damaged_where_it_is_stored(run, synchronized, tmp_path, pack_is_gone):
    content = os.urandom(200_000)
    (tmp_path / "one" / "d" / "g").write_bytes(content)
    assert run("sync", "one", synchronized).code == 0
    version = run("contexts", "show", "a.db", "tree", "--json").json["version"]
    assert run("repair", "one", synchronized).out == "nothing is damaged\n"
    damage(tmp_path / "a.db.content", content, pack_is_gone)

    (tmp_path / "one" / "d" / "g").write_bytes(b"edited" + content)
    kept = run("repair", "one", synchronized, "--json")
    assert (kept.code, kept.json) == (1, {"sent": [], "damaged": ["d/g"]})

    (tmp_path / "one" / "d" / "g").write_bytes(content)
    assert run("repair", synchronized, "one").out == "files sent again: 1\n"
    assert run("verify", "one", synchronized, "--deep").code == 0
    assert run("contexts", "show", "a.db", "tree", "--json").json["version"] == version
    assert run("repair", "one", "two").code == 2


def test_explain_names_the_rule_of_a_context(run, synchronized, tmp_path):
    (tmp_path / "one" / ".tallyignore").unlink()
    said = run("sync", "one", synchronized, "--explain", "d/x.o").out
    assert "d/x.o: left out by the pattern '*.o' of .tallyignore at B" in said
    assert "synchronized; no pattern matches" in run("sync", synchronized, "one", "--explain", "d").out


def test_watching_a_context_carries_changes_both_ways_at_once(run, synchronized, tmp_path):
    (tmp_path / "other").mkdir()
    watching = subprocess.Popen(
        [sys.executable, "-m", "tallystick.cli.main", "sync", "one", synchronized, "--watch", "--no-fsync"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        (tmp_path / "one" / "mine").write_text("up")
        eventually(lambda: run("sync", synchronized, "other").code == 0 and (tmp_path / "other" / "mine").exists())
        (tmp_path / "other" / "theirs").write_text("down")
        assert run("sync", "other", synchronized).code == 0
        eventually(lambda: (tmp_path / "one" / "theirs").exists())
        assert (tmp_path / "one" / "theirs").read_text() == "down"
    finally:
        watching.send_signal(signal.SIGINT)
        _, err = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert "Traceback" not in err


def test_watching_goes_on_when_the_site_was_away(run, site, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "first").write_text("1")
    with running(site) as url:
        watching = subprocess.Popen(
            [sys.executable, "-m", "tallystick.cli.main", "sync", "one", f"{url}contexts/ws", "--watch", "--no-fsync"],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        eventually(lambda: run("contexts", "files", site, "ws", "--json").json != [])
    try:
        (tmp_path / "one" / "second").write_text("2")
        assert "cannot be reached" in watching.stderr.readline() + watching.stderr.readline()
        with running(site, port=urlsplit(url).port):
            eventually(lambda: len(run("contexts", "files", site, "ws", "--json").json) == 2)
    finally:
        watching.terminate()
        watching.communicate(timeout=30)


def eventually(condition):
    """Wait for what another process does; gives up after a time that no machine needs."""
    for _ in range(200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it never came true")
