"""The recording of a live server, played through the compatibility face, comes out event for event."""

import json
from pathlib import Path

import pytest

from tallystick.testing import ics

RECORDING = Path(__file__).parent / "golden.jsonl"


@pytest.fixture(scope="module")
def lines():
    return RECORDING.read_text(encoding="utf-8").splitlines()


def test_every_recorded_synchronization_comes_out_as_recorded(capsys):
    assert ics.main([str(RECORDING)]) == 0
    told = capsys.readouterr().out
    assert "188 scenarios" in told
    assert "3206 syncs" in told
    assert told.endswith(": 0 mismatches\n")


def test_it_comes_out_so_on_a_durable_site_too(lines, tmp_path, capsys):
    some = tmp_path / "some.jsonl"
    some.write_text("\n".join(line for line in lines if json.loads(line)["seed"] % 8 in (3, 5)))
    assert ics.main([str(some), "--site", str(tmp_path / "site.db")]) == 0
    assert ": 0 mismatches" in capsys.readouterr().out


def changed(lines, where, how):
    """The first scenario with a step that ``where`` accepts, that step changed by ``how``."""
    for line in lines:
        scenario = json.loads(line)
        for step in scenario["steps"]:
            if where(step):
                how(step)
                return json.dumps(scenario)
    raise AssertionError("the recording has no such step")


def is_sync(step):
    return step["op"] == "sync"


WRONG = {
    "an event that did not happen": (is_sync, lambda s: s["events"].append(["delete", "I1", 0])),
    "an event that is missing": (lambda s: is_sync(s) and s["events"], lambda s: s["events"].pop()),
    "another state": (is_sync, lambda s: s.update(same=not s["same"])),
    "other flags": (
        lambda s: is_sync(s) and s["scope"] == "contents" and any(e[0] == "update" for e in s["events"]),
        lambda s: s["events"].__setitem__(0, [*s["events"][0][:2], 16, *s["events"][0][3:]]),
    ),
    "another order": (
        lambda s: (
            is_sync(s) and len(s["events"]) > 1 and s["events"][0] != s["events"][-1] and s["events"][1][0] == "update"
        ),
        lambda s: s["events"].reverse(),
    ),
}


@pytest.mark.parametrize(("where", "how"), WRONG.values(), ids=WRONG.keys())
def test_a_recording_that_says_otherwise_is_a_mismatch(lines, tmp_path, capsys, where, how):
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text(changed(lines, where, how))
    assert ics.main([str(wrong)]) == 1
    told = capsys.readouterr().out
    assert "came out as" in told
    assert not told.endswith(": 0 mismatches\n")


def test_the_order_of_deletions_of_one_kind_is_free():
    recorded = [["update", "I1", 0, "s", "F1", True], ["delete", "I2", 1], ["delete", "I3", 1], ["delete", "I4", 0]]
    played = [["update", "I1", 0, "s", "F1", True], ["delete", "I3", 1], ["delete", "I2", 1], ["delete", "I4", 0]]
    other = [["update", "I1", 0, "s", "F1", True], ["delete", "I4", 0], ["delete", "I3", 1], ["delete", "I2", 1]]
    assert ics.comparable(played, ()) == ics.comparable(recorded, ())
    assert ics.comparable(other, ()) != ics.comparable(recorded, ())


def test_names_count_only_once_a_folder_was_renamed():
    one, other = [["update", "F2", "F1", "x1"]], [["update", "F2", "F1", "x2"]]
    assert ics.comparable(one, ()) == ics.comparable(other, ())
    assert ics.comparable(one, {"F2"}) != ics.comparable(other, {"F2"})


@pytest.mark.parametrize(
    "text",
    (
        "no json",
        '{"seed": 1}',
        '{"seed": 1, "steps": [{"op": "fly"}]}',
        '{"seed": 1, "steps": [{"op": "save", "id": "I1", "subject": "s"}]}',
    ),
)
def test_what_is_no_recording_is_refused(tmp_path, capsys, text):
    broken = tmp_path / "broken.jsonl"
    broken.write_text(text)
    assert ics.main([str(broken)]) == 2
    assert capsys.readouterr().err


def test_a_recording_that_is_not_there_is_told(tmp_path, capsys):
    assert ics.main([str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl" in capsys.readouterr().err


def test_an_operation_that_fails_ends_its_scenario_as_a_mismatch(tmp_path, capsys):
    broken = tmp_path / "broken.jsonl"
    steps = [
        {"op": "create_folder", "id": "F1", "parent": None},
        {"op": "create_item", "id": "I1", "folder": "F1", "subject": "s"},
        {"op": "delete", "id": "I1", "soft": False},
        {"op": "save", "id": "I1", "subject": "t"},
    ]
    broken.write_text(json.dumps({"seed": 7, "steps": steps}))
    assert ics.main([str(broken)]) == 1
    assert "deleted" in capsys.readouterr().out


def test_the_site_is_left_as_it_was(lines, tmp_path):
    from tallystick.compat import kopano

    site, one = str(tmp_path / "site.db"), tmp_path / "one.jsonl"
    one.write_text(lines[0])
    with kopano.server(server_socket=site) as server:
        server.create_user("anna")
    assert ics.main([str(one), "--site", site]) == 0
    with kopano.server(server_socket=site) as server:
        assert [user.name for user in server.users()] == ["anna"]
        assert len(list(server.stores())) == 1
