"""peers, tasks, run, log and directories of bundles, as a shell would call them."""

from __future__ import annotations

import base64
import secrets

import pytest


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TALLYSTICK_KEY", base64.b64encode(secrets.token_bytes(32)).decode())


@pytest.fixture
def hub(run, people):
    """a.db with a peer, the empty b.db."""
    people("b.db", "CREATE TABLE people (id TEXT PRIMARY KEY, full_name TEXT, age INTEGER)")
    assert run("peers", "add", "a.db", "hub", "b.db").code == 0
    return people


def test_a_peer_is_added_listed_shown_registered_tested_and_removed(run, hub, tmp_path):
    (listed,) = run("peers", "list", "a.db", "--json").json
    assert (listed["name"], listed["protocol"], listed["url"]) == ("hub", "native", str(tmp_path / "b.db"))
    assert listed["identifier"] is None
    assert run("peers", "test", "a.db", "hub").out == "hub: it answers\n"
    registered = run("peers", "register", "a.db", "hub", "--json").json
    assert registered["success"]
    assert len(run("peers", "show", "a.db", "hub", "--json").json["identifier"]) == 32
    assert run("tasks", "add", "a.db", "all", "--peer", "hub").code == 0
    assert run("peers", "remove", "a.db", "hub").out == "hub is removed, and its tasks all\n"
    assert run("peers", "list", "a.db", "--json").json == []
    assert run("log", "a.db", "--json").json == []


def test_a_peer_that_does_not_answer_fails_its_test(run, people):
    run("peers", "add", "a.db", "dead", "http://127.0.0.1:1/")
    done = run("peers", "test", "a.db", "dead")
    assert (done.code, "127.0.0.1:1" in done.err) == (3, True)


def test_a_password_is_kept_encrypted_and_never_shown(run, people, tmp_path):
    (tmp_path / "secret").write_text("swordfish\n")
    url = "http://127.0.0.1:1/"
    given = run("peers", "add", "a.db", "hub", url, "--user", "anna", "--password-file", "secret", "--json")
    assert given.json["user"] == "anna"
    assert "swordfish" not in run("peers", "show", "a.db", "hub").out
    assert b"swordfish" not in b"".join(path.read_bytes() for path in tmp_path.glob("a.db*"))


def test_a_peer_is_changed_and_keeps_its_tasks_and_what_is_known_of_it(run, hub, tmp_path):
    run("peers", "register", "a.db", "hub")
    run("tasks", "add", "a.db", "all", "--peer", "hub")
    before = run("peers", "show", "a.db", "hub", "--json").json
    (tmp_path / "b.db").rename(tmp_path / "moved.db")
    changed = run("peers", "change", "a.db", "hub", "--url", "moved.db", "--json")
    assert changed.json["url"] == str(tmp_path / "moved.db")
    after = run("peers", "show", "a.db", "hub", "--json").json
    assert after == before | {"url": str(tmp_path / "moved.db")}
    assert run("tasks", "run", "a.db", "all").code == 0


def test_another_site_at_the_new_address_of_a_peer_is_refused(run, hub):
    run("peers", "register", "a.db", "hub")
    hub("c.db", "CREATE TABLE people (id TEXT PRIMARY KEY, full_name TEXT, age INTEGER)")
    run("peers", "change", "a.db", "hub", "--url", "c.db")
    done = run("peers", "test", "a.db", "hub")
    assert (done.code, "register the peer again" in done.err) == (3, True)


def test_a_new_password_takes_the_place_of_the_old_one(run, people, tmp_path):
    from tallystick.web.server import running

    (tmp_path / "wrong").write_text("wrong one")
    (tmp_path / "right").write_text("right one")
    run("users", "add", "a.db", "anna", "--role", "sync", "--password-file", "right")
    people("b.db", "CREATE TABLE people (id TEXT PRIMARY KEY, full_name TEXT, age INTEGER)")
    run("track", "a.db")
    with running(str(tmp_path / "a.db")) as address:
        run("peers", "add", "b.db", "hub", address, "--user", "anna", "--password-file", "wrong")
        assert run("peers", "test", "b.db", "hub").code == 3
        changed = run("peers", "change", "b.db", "hub", "--password-file", "right")
        assert (changed.code, "right one" in changed.out) == (0, False)
        assert run("peers", "test", "b.db", "hub").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    (
        (("none", "--url", "b.db"), "no peer 'none'"),
        (("hub", "--url", "ftp://x/"), "no protocol"),
        (("hub", "--url", "c.db"), "is the peer 'other' already"),
        (("hub", "--new-password"), "has no user"),
        (("hub", "--url", "eden+http://host"), "names no application"),
        (("hub", "--url", "eden+http://a:b@host/eden"), "with a password"),
    ),
)
def test_a_change_that_cannot_be_changes_nothing(run, hub, words, message):
    run("peers", "add", "a.db", "other", "c.db")
    before = run("peers", "list", "a.db", "--json").json
    done = run("peers", "change", "a.db", *words)
    assert (done.code, message in done.err) == (2, True), done.err
    assert run("peers", "list", "a.db", "--json").json == before


def test_a_task_says_what_how_and_when(run, hub):
    added = run(
        "tasks", "add", "a.db", "p", "--peer", "hub", "--resource", "people", "--mode", "pull", "--strategy",
        "create,update", "--update", "newer", "--conflict", "this", "--conflict", "age=other", "--filter",
        "people: age gt 3", "--every", "10m", "--jitter", "0", "--allow-deletes", "all", "--json",
    ).json  # fmt: skip
    expected = {
        "mode": "pull",
        "strategy": "create,update",
        "update": "newer",
        "conflict": "this,age=other",
        "filters": {"people": "age gt 3"},
        "schedule": "600s",
        "jitter": "0s",
        "allow_deletes": "all",
        "enabled": True,
    }
    assert {name: added[name] for name in expected} == expected
    changed = run("tasks", "change", "a.db", "p", "--cron", "30 3 * * * Europe/Zurich", "--disable", "--json").json
    assert (changed["schedule"], changed["enabled"], changed["due"]) == ("30 3 * * * Europe/Zurich", False, None)
    assert changed["conflict"] == "this,age=other"
    assert changed["filters"] == {"people": "age gt 3"}
    assert run("tasks", "list", "a.db").out.splitlines()[1].startswith("p ")
    assert "conflict: this,age=other" in run("tasks", "show", "a.db", "p").out
    assert run("tasks", "remove", "a.db", "p").code == 0
    assert run("tasks", "list", "a.db", "--json").json == []


@pytest.mark.parametrize(
    ("words", "message"),
    (
        (("tasks", "add", "a.db", "t", "--peer", "none"), "no peer 'none'"),
        (("tasks", "add", "a.db", "t", "--peer", "hub", "--every", "soon"), "neither an interval nor"),
        (("tasks", "add", "a.db", "t", "--peer", "hub", "--every", "30 3 * * *"), "belongs to --cron"),
        (("tasks", "add", "a.db", "t", "--peer", "hub", "--cron", "10m"), "belongs to --every"),
        (("tasks", "add", "a.db", "t", "--peer", "hub", "--cron", "0 0 30 2 *"), "never comes due"),
        (("tasks", "add", "a.db", "t", "--peer", "hub", "--every", "1m", "--cron", "* * * * *"), "given together"),
        (("tasks", "add", "a.db", "t", "--peer", "hub", "--jitter", "much"), "no length of time"),
        (("tasks", "add", "a.db", "t", "--peer", "hub", "--conflict", "maybe"), "no policy"),
        (("tasks", "add", "a.db", "t", "--peer", "hub", "--filter", "people"), "NAME: EXPR"),
        (("tasks", "add", "a.db", "t", "--peer", "hub", "--allow-deletes", "few"), "neither a number nor all"),
        (("tasks", "run", "a.db", "none"), "no task 'none'"),
        (("peers", "add", "a.db", "hub", "c.db"), "a peer 'hub' already"),
        (("peers", "register", "a.db", "none"), "no peer 'none'"),
        (("peers", "add", "a.db", "x", "gopher://hub/"), "gopher: is no protocol"),
    ),
)
def test_what_cannot_be_is_a_sentence_and_exit_code_2(run, hub, words, message):
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert run("tasks", "list", "a.db", "--json").json == []


def test_tasks_run_on_request_and_everything_is_in_the_log(run, hub):
    run("tasks", "add", "a.db", "p", "--peer", "hub", "--resource", "people")
    (made,) = run("tasks", "run", "a.db", "p", "--json").json
    assert made["result"] == "success"
    assert hub("b.db", "SELECT count(*) FROM people") == [(2,)]
    entries = run("log", "a.db", "--json", "--task", "p").json
    assert [(item["action"], item["outcome"], item["where"]) for item in entries] == [
        ("run", "success", "local"),
        ("push/outgoing", "success", "local"),
        ("pull/outgoing", "success", "local"),
    ]
    assert {item["action"] for item in run("log", "a.db", "--json", "--run", made["run"]).json} == {
        "run", "push/outgoing", "pull/outgoing", "sync",
    }  # fmt: skip
    assert run("log", "a.db", "--peer", "hub").out.count("success") >= 3
    assert run("log", "a.db", "--peer", "nobody", "--json").json == []


def test_no_task_is_run_where_one_of_those_named_is_not_there(run, hub):
    run("tasks", "add", "a.db", "p", "--peer", "hub", "--every", "1h")
    refused = run("tasks", "run", "a.db", "p", "q")
    assert (refused.code, "no task 'q'" in refused.err) == (2, True)
    assert run("log", "a.db", "--task", "p", "--json").json == []
    assert run("tasks", "list", "a.db").out.splitlines()[1].count("Z") == 1


def test_run_once_runs_what_is_due_and_tells_failures_by_its_exit_code(run, hub):
    run("tasks", "add", "a.db", "p", "--peer", "hub", "--every", "1h")
    assert "p  success" in run("run", "a.db", "--once").out
    assert run("run", "a.db", "--once").out == ""
    run("peers", "add", "a.db", "gone", "nowhere.db")
    run("tasks", "add", "a.db", "g", "--peer", "gone", "--every", "1h")
    done = run("run", "a.db", "--once", "--json")
    assert (done.code, done.json["result"]) == (3, "fatal")
    assert "no database" in done.json["message"]
    (logged,) = run("log", "a.db", "--task", "g", "--json", "--limit", "1").json
    assert (logged["outcome"], logged["where"]) == ("fatal", "local")


def test_untracking_leaves_nothing_of_peers_and_tasks(run, hub):
    run("tasks", "add", "a.db", "p", "--peer", "hub", "--every", "1h")
    run("run", "a.db", "--once")
    assert run("untrack", "a.db").code == 0
    assert hub("a.db", "SELECT name FROM sqlite_master WHERE name LIKE 'tally%'") == []


# Directories


def test_two_sites_agree_through_a_directory(run, people, tmp_path):
    people("b.db", "CREATE TABLE other (id TEXT PRIMARY KEY)")
    (tmp_path / "stick").mkdir()
    first = run("sync", "files+dir:stick", "a.db")
    assert first.code == 0
    fingerprint_a = first.out.split("fingerprint is ")[1][:24]
    refused = run("sync", "files+dir:stick", "b.db")
    assert refused.code == 3
    assert f"--trust {fingerprint_a}" in refused.err
    fingerprint_b = refused.out.split("fingerprint is ")[1][:24]
    assert run("sync", "files+dir:stick", "b.db", "--trust", fingerprint_a).code == 0
    told = run("sync", "files+dir:stick", "a.db", "--trust", fingerprint_b, "--json")
    assert told.code == 0
    assert told.json["notes"] == ["left bundle 1 for b.db: 2 records"]
    assert "took bundle 1 of a.db: 2 records" in run("sync", "files+dir:stick", "b.db").out
    assert people("b.db", "SELECT id FROM people ORDER BY id") == [("p1",), ("p2",)]
    assert "b.db has taken bundle 1" in run("sync", "files+dir:stick", "a.db").out
    quiet = run("sync", "files+dir:stick", "b.db")
    assert (quiet.code, quiet.out.splitlines()[0]) == (0, "in agreement; nothing to do")


def test_a_directory_can_be_a_peer_of_tasks(run, people, tmp_path):
    people("b.db", "CREATE TABLE people (id TEXT PRIMARY KEY, full_name TEXT, age INTEGER)")
    (tmp_path / "stick").mkdir()
    prints = []
    for site in ("a.db", "b.db"):
        run("peers", "add", site, "stick", "files+dir:stick")
        run("tasks", "add", site, "carry", "--peer", "stick", "--every", "10m")
        run("peers", "register", site, "stick")
        prints.append(run("peers", "show", site, "stick", "--json").json["fingerprint"])
    for site, other in (("a.db", prints[1]), ("b.db", prints[0])):
        assert run("peers", "register", site, "stick", "--trust", other).code == 0
    for site in ("a.db", "b.db"):
        (made,) = run("tasks", "run", site, "carry", "--json").json
        assert made["result"] == "success"
    assert people("b.db", "SELECT count(*) FROM people") == [(2,)]


@pytest.mark.parametrize("words", (("verify",), ("repair",)))
def test_a_directory_cannot_be_asked(run, people, tmp_path, words):
    (tmp_path / "stick").mkdir()
    run("track", "a.db")
    done = run(*words, "a.db", "files+dir:stick")
    assert done.code == 2
    assert "nobody answers in a directory" in done.err


def test_a_directory_that_is_not_there_is_no_end_and_dry_runs_are_refused(run, people, tmp_path):
    missing = run("sync", "a.db", "files+dir:gone")
    assert (missing.code, "there is no directory" in missing.err) == (2, True)
    (tmp_path / "stick").mkdir()
    assert "leave out --dry-run" in run("sync", "a.db", "files+dir:stick", "--dry-run").err
    assert people("a.db", "SELECT count(*) FROM people") == [(2,)]
