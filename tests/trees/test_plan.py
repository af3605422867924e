"""Reconciliation: the tables and laws of spec contexts D."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from woods import carried_out, leaf, roots, shown, tree, triples, values

from tallystick.trees.conflict_names import conflict_names
from tallystick.trees.merging import Reconcile, Side
from tallystick.trees.nodes import Directory, Leaf, leaves
from tallystick.trees.plan import Half, Verb, held_back, moves, plan, possible_moves, undetermined
from tallystick.trees.settling import settle

SAFE, NEWER, ADD, MIRROR, LOCAL, REMOTE = Reconcile


def run(base, local, remote, mode=SAFE, half=Half.WHOLE):
    """(plan, local afterwards, remote afterwards, base afterwards)."""
    found = plan(tree(base), tree(local), tree(remote), mode, half)
    here, there = carried_out(found)
    return found, here, there, settle(found)


def copy_name(name, text):
    return next(conflict_names(name, leaf(text).digest))


# D.2: the table -----------------------------------------------------------------------------------

# A side's directory: d = the base's without additions, d* = with something new, D = new by itself.
TABLE = """
 1 | - | -  | -    | .  | .  | .   | .
 2 | - | X  | -    | >  | >  | >   | >
 3 | - | -  | X    | <  | <  | .   | xR
 4 | - | X  | X    | B  | B  | B   | B
 5 | - | X  | Y    | K  | N  | K   | >
 6 | - | D  | -    | >  | >  | >   | >
 7 | - | -  | D    | <  | <  | .   | xR
 8 | - | X  | D    | KD | KD | KD  | >
 9 | - | D  | X    | KD | KD | KD  | >
10 | - | D  | D    | r  | r  | r   | r
11 | X | X  | X    | .  | .  | .   | .
12 | X | -  | -    | B  | B  | B   | B
13 | X | X  | -    | xL | xL | .   | >
14 | X | -  | X    | xR | xR | .   | xR
15 | X | Y  | X    | >  | >  | >   | >
16 | X | X  | Y    | <  | <  | .   | >
17 | X | Y  | -    | >  | >  | >   | >
18 | X | -  | Y    | <  | <  | .   | xR
19 | X | Y  | Y    | B  | B  | B   | B
20 | X | Y  | Z    | K  | N  | K   | >
21 | X | D  | X    | >  | >  | >   | >
22 | X | X  | D    | <  | <  | .   | >
23 | X | D  | -    | >  | >  | >   | >
24 | X | -  | D    | <  | <  | .   | xR
25 | X | D  | Y    | KD | KD | KD  | >
26 | X | Y  | D    | KD | KD | KD  | >
27 | X | D  | D    | r  | r  | r   | r
28 | d | d  | d    | r  | r  | r   | r
28 | d | d* | d    | r  | r  | r   | r
28 | d | d  | d*   | r  | r  | r   | r
28 | d | d* | d*   | r  | r  | r   | r
29 | d | -  | -    | B  | B  | B   | B
30 | d | d  | -    | xL | xL | .   | >
31 | d | -  | d    | xR | xR | .   | xR
32 | d | d* | -    | S  | S  | S1  | >
33 | d | -  | d*   | S  | S  | .   | xR
34 | d | Y  | -    | >  | >  | >   | >
35 | d | -  | Y    | <  | <  | .   | xR
36 | d | Y  | Y    | B  | B  | B   | B
37 | d | Y  | Z    | K  | N  | K   | >
38 | d | Y  | d    | >  | >  | KD  | >
39 | d | d  | Y    | <  | <  | .   | >
40 | d | Y  | d*   | KD | KD | KD  | >
41 | d | d* | Y    | KD | KD | KD1 | >
"""
ROWS = [
    (*(cell.strip() for cell in line.split("|")[:4]), mode, line.split("|")[4 + position].strip())
    for line in TABLE.strip().splitlines()
    for mode, position in ((SAFE, 0), (NEWER, 1), (LOCAL, 1), (REMOTE, 1), (ADD, 2), (MIRROR, 3))
]
LEAVES = {"files": ("X", "Y", "Z"), "links": ("@X", "@Y", "@Z"), "mixed": ("X", "@X", "@Y"), "other": ("@X", "X", "Y")}
OLD = {"old": "X", "gone": "X", "sub": {"deep": "X"}}


def instance(cell, letters, side):
    """The wood that a cell of the table stands for."""
    if cell in ("X", "Y", "Z"):
        return letters["XYZ".index(cell)]
    return {
        "-": None,
        "D": {"fresh": "Y", f"{side}-only": "Z"},
        "d": OLD if side == "base" else {"old": "X", "sub": {"deep": "X"}},
        "d*": {"old": "X", "sub": {"deep": "X"}, f"{side}-new": "W"},
    }[cell]


def root(wood, mtime=0):
    node = tree({"n": wood} if wood is not None else {})
    if isinstance(node.children.get("n"), Leaf):
        return Directory({"n": node.children["n"]._replace(mtime_ns=mtime)})
    return node


@pytest.mark.parametrize("letters", LEAVES.values(), ids=LEAVES)
@pytest.mark.parametrize(
    ("row", "base", "local", "remote", "mode", "code"), ROWS, ids=[f"{row[0]}-{row[4].value}" for row in ROWS]
)
@pytest.mark.parametrize("later", ("local", "remote", "neither"))
def test_every_row_of_the_table(row, base, local, remote, mode, code, letters, later):
    woods = {"base": base, "local": local, "remote": remote}
    trees = {name: root(instance(cell, letters, name), int(name == later)) for name, cell in woods.items()}
    found, here, there, after = run(*trees.values(), mode)
    expected = EXPECTED[code](trees, mode, later)
    assert (shown(here), shown(there)) == (shown(expected[0]), shown(expected[1]))
    if not mode.one_way:
        assert shown(after) == shown(here) == shown(there)
    if code in (".", "B"):
        assert found.actions == []
    if code in (".", "B", ">", "<", "xL", "xR", "r") and mode is SAFE:
        assert not found.conflicts
    assert all(action.reason for action in found.actions)
    again = plan(after, here, there, mode)
    assert again.actions == []


def _same(trees, mode, later):
    return trees["local"], trees["remote"]


def _take_local(trees, mode, later):
    return trees["local"], trees["local"]


def _take_remote(trees, mode, later):
    return trees["remote"], trees["remote"]


def _gone(trees, mode, later):
    return Directory(), Directory()


def _gone_there(trees, mode, later):
    return trees["local"], Directory()


def _newer(trees, mode, later):
    takes_local = mode is LOCAL or (mode is NEWER and later == "local")
    winner = trees["local"] if takes_local else trees["remote"]
    return winner, winner


def _one_way(trees, mode, result):
    return (trees["local"] if mode.one_way else result), result


def _keep_both(trees, mode, later):
    local, remote = trees["local"].children["n"], trees["remote"].children["n"]
    return _one_way(trees, mode, Directory({"n": remote, _copy("n", local): local}))


def _copy(name, node):
    return next(conflict_names(name, node.digest))


def _keep_directory(trees, mode, later):
    local, remote = trees["local"].children["n"], trees["remote"].children["n"]
    directory, lost = (local, remote) if isinstance(local, Directory) else (remote, local)
    if mode is ADD:
        stays = directory
    else:
        base = trees["base"].children.get("n")
        stays = _survivors(directory, base) if isinstance(base, Directory) else directory
    return _one_way(trees, mode, Directory({"n": stays, _copy("n", lost): lost}))


def _survivors(directory, base):
    """What is left of a directory whose unedited children go."""
    return Directory({name: child for name, child in directory.children.items() if name not in base.children})


def _survivors_only(trees, mode, later):
    side = trees["local"] if trees["local"].children else trees["remote"]
    result = Directory({"n": _survivors(side.children["n"], trees["base"].children["n"])})
    return _one_way(trees, mode, result)


def _survivors_and_copy(trees, mode, later):
    lost = trees["remote"].children["n"]
    survivors = _survivors(trees["local"].children["n"], trees["base"].children["n"])
    return trees["local"], Directory({"n": survivors, _copy("n", lost): lost})


def _children(trees, mode, later):
    """Recursion: by hand, for the directories that the table is instantiated with."""
    local, remote = trees["local"].children["n"], trees["remote"].children["n"]
    if mode is MIRROR:
        return trees["local"], trees["local"]
    union = Directory({"n": Directory({**remote.children, **local.children})})
    return (trees["local"] if mode is ADD else union), union


EXPECTED = {
    ".": _same,
    "B": _same,
    ">": lambda trees, mode, later: _one_way(trees, mode, trees["local"]),
    "<": _take_remote,
    "xL": _gone,
    "xR": lambda trees, mode, later: _one_way(trees, mode, Directory()),
    "K": _keep_both,
    "KD": _keep_directory,
    "KD1": _survivors_and_copy,
    "N": _newer,
    "r": _children,
    "S": _survivors_only,
    "S1": _survivors_only,
}


def test_the_table_is_whole():
    assert {int(row[0]) for row in ROWS} == set(range(1, 42))


# D.6: nested cases --------------------------------------------------------------------------------

NESTED = (
    ({"d": {"a": "X", "b": "X"}}, {}, {"d": {"a": "Z", "b": "X"}}, {"d": {"a": "Z"}}),
    ({"d": {"a": "X"}}, {"e": {"a": "X"}}, {"d": {"a": "Z"}}, {"d": {"a": "Z"}, "e": {"a": "X"}}),
    (
        {"d": {"a": "X"}},
        {"d": "Y"},
        {"d": {"a": "X", "n": "W"}},
        {"d": {"n": "W"}, copy_name("d", "Y"): "Y"},
    ),
    ({"f": "X"}, {"f": {"q": "W"}}, {"f": "Z"}, {"f": {"q": "W"}, copy_name("f", "Z"): "Z"}),
    ({}, {"d": {"a": "Y"}}, {"d": {"a": "Z", "b": "W"}}, {"d": {"a": "Z", copy_name("a", "Y"): "Y", "b": "W"}}),
    ({"d": {"a": "X"}}, {"d": {}}, {}, {}),
    ({"d": {}}, {}, {"d": {"e": {}}}, {"d": {"e": {}}}),
    (
        {"d": {"s": {"a": "X", "b": "X"}}},
        {},
        {"d": {"s": {"a": "Z", "b": "X"}}},
        {"d": {"s": {"a": "Z"}}},
    ),
    ({"d": {"a": "X"}}, {"d": "Y"}, {}, {"d": "Y"}),
    ({"d": {"a": "X"}}, {"d": "Y"}, {"d": "Z"}, {"d": "Z", copy_name("d", "Y"): "Y"}),
    ({"f": "X"}, {"f": "@X"}, {"f": "Z"}, {"f": "Z", copy_name("f", "@X"): "@X"}),
    ({"f": "X"}, {"f": "X!"}, {"f": "Z"}, {"f": "Z!"}),
    None,  # 13: see test_a_directory_that_holds_something_out_of_scope_stays
    ({}, {"d": {}}, {"d": "Z"}, {"d": {}, copy_name("d", "Z"): "Z"}),
)


@pytest.mark.parametrize("halves", ("whole", "upload first", "download first"))
@pytest.mark.parametrize("case", [case for case in NESTED if case], ids=lambda case: str(NESTED.index(case) + 1))
def test_the_nested_cases(case, halves):
    base, local, remote, expected = map(tree, case)
    if halves == "whole":
        _, here, there, after = run(base, local, remote)
    else:
        order = [Half.UPLOAD, Half.DOWNLOAD] if halves == "upload first" else [Half.DOWNLOAD, Half.UPLOAD]
        here, there, after = local, remote, base
        for half in order:
            _, here, there, after = run(after, here, there, SAFE, half)
    assert shown(here) == shown(there) == shown(after) == shown(expected)


@pytest.mark.parametrize("mode", (SAFE, NEWER))
def test_a_directory_that_holds_something_out_of_scope_stays(mode):
    here, there, after = {"d": {"a": "X", "#": True}}, {}, {"d": {"a": "X"}}
    for _ in range(2):
        found, here, there, after = run(after, here, there, mode)
        assert shown(here) == {"d": {}}
        assert here.children["d"].invisible
        assert shown(there) == {}
        assert shown(after) == {"d": {}}
        assert found.blocked == ["d"]
    assert found.actions == []


# D.5: states outside the table --------------------------------------------------------------------


def test_a_directory_to_be_replaced_by_a_leaf_that_holds_something_out_of_scope_is_left_alone():
    base, local, remote = {"d": {"a": "X", "b": "X"}}, {"d": {"a": "X", "#": True}}, {"d": "Y"}
    found, _here, _there, after = run(base, local, remote)
    assert found.blocked == ["d"]
    assert found.actions == []
    assert shown(after) == shown(tree(base))


@pytest.mark.parametrize("mode", Reconcile)
@pytest.mark.parametrize("side", Side)
def test_what_is_unknown_is_never_read_as_absent(mode, side):
    base = {"d": {"a": "X", "s": {"b": "X"}}, "e": "X"}
    unknown = {"d": {"a": "X", "s": "?"}, "e": "?"}
    known = {"d": {"a": "Y", "s": {"b": "Y"}}}
    pair = (unknown, known) if side is Side.LOCAL else (known, unknown)
    found, *_, after = run(base, *pair, mode)
    assert {action.path for action in found.actions} <= {"d/a"}
    assert after.children["e"] == leaf("X")
    assert shown(after.children["d"].children["s"]) == shown(tree({"b": "X"}))
    assert sorted(found.unknown) == ["d/s", "e"]


def test_a_directory_deleted_on_one_side_stays_where_a_part_of_it_is_unknown():
    base = {"d": {"a": "X", "s": {"b": "X"}}}
    found, _here, _there, after = run(base, {"d": {"a": "X", "s": "?"}}, {})
    assert [(action.verb, action.side, action.path) for action in found.actions] == [(Verb.REMOVE, Side.LOCAL, "d/a")]
    assert found.blocked == ["d"]
    assert shown(after) == shown(tree({"d": {"s": {"b": "X"}}}))


UNMATERIALISED = (
    # base, local, remote -> result
    ("X", None, "X", {"n": "X"}),
    ("X", "Y", "X", {"n": "Y"}),
    ("X", "Y", "Z", {"n": "Z", copy_name("n", "Y"): "Y"}),
    ("X", "X", None, {"n": "X"}),
    ("X", "X", "Y", {"n": "Y"}),
    ("X", None, None, {}),
    ({"a": "X"}, None, {"a": "X"}, {"n": {"a": "X"}}),
    ({"a": "X"}, "Y", {"a": "X"}, {"n": {"a": "X"}, copy_name("n", "Y"): "Y"}),
    ({}, "Y", {}, {"n": "Y"}),
)


@pytest.mark.parametrize(("base", "local", "remote", "expected"), UNMATERIALISED)
def test_an_entry_never_held_here_deletes_nothing(base, local, remote, expected):
    woods = [{"n": wood} if wood is not None else {} for wood in (local, remote)]
    _found, here, there, after = run(tree({"n": base}, materialised=False), *woods)
    assert shown(here) == shown(there) == shown(tree(expected))
    assert all(entry.materialised for _, entry in leaves(after))


def test_an_upload_keeps_what_was_never_held_here_in_the_base():
    base = tree({"a": "X", "b": "X"}, materialised=False)
    _found, _here, there, after = run(base, {"a": "Y"}, {"a": "X", "b": "X"}, SAFE, Half.UPLOAD)
    assert shown(there) == shown(tree({"a": "Y", "b": "X"}))
    assert after.children["a"].materialised
    assert not after.children["b"].materialised


@pytest.mark.parametrize(
    ("local", "expected_there", "after"),
    ((None, {"n": "~"}, {}), ("X", {"n": "~"}, {"n": "X"}), ("Y", {"n": "Y"}, {"n": "Y"})),
)
def test_what_expired_in_the_store_is_neither_deleted_here_nor_uploaded_unedited(local, expected_there, after):
    wood = {"n": local} if local else {}
    _found, here, there, base = run({"n": "X"}, wood, {"n": "~"})
    assert shown(here) == shown(tree(wood))
    assert shown(there) == shown(tree(expected_there))
    assert shown(base) == shown(tree(after))


def test_an_expired_directory_gives_only_edited_files_back():
    _found, here, there, _ = run({"d": {"a": "X", "b": "X"}}, {"d": {"a": "X", "b": "Y"}}, {"d": "~"})
    assert shown(there) == shown(tree({"d": {"b": "Y"}}))
    assert shown(here) == shown(tree({"d": {"a": "X", "b": "Y"}}))


def test_held_deletions_keep_their_base_and_everything_else_is_done():
    base = {"a": "X", "d": {"x": "X"}, "b": "X"}
    found = plan(tree(base), tree({"d": "Y", "b": "Y", "c": "X"}), tree(base))
    deletions = [action for action in found.actions if action.deletes]
    assert {action.path for action in deletions} == {"a", "d"}
    rest = held_back(found, deletions, "too many")
    here, there = carried_out(rest)
    assert shown(there) == shown(tree({**base, "b": "Y", "c": "X"}))
    after = settle(rest)
    assert shown(after) == shown(tree({**base, "b": "Y", "c": "X"}))
    assert {why for _, why in rest.held} == {"too many"}
    confirmed = plan(after, here, there)
    assert shown(carried_out(confirmed)[1]) == shown(here)


@pytest.mark.parametrize(
    ("mode", "half", "expected"),
    (
        (SAFE, Half.UPLOAD, {"a": "Y", "l": "L"}),
        (SAFE, Half.DOWNLOAD, {"a": "X", "r": "R", "kept": "X"}),
        (ADD, Half.WHOLE, {"a": "Y", "l": "L", "kept": "X"}),
        (MIRROR, Half.WHOLE, {"a": "Y", "l": "L"}),
    ),
)
def test_the_base_afterwards_is_what_both_sides_have_held(mode, half, expected):
    base, local = {"a": "X", "gone": "X", "kept": "X"}, {"a": "Y", "l": "L"}
    *_, after = run(base, local, {"a": "X", "r": "R", "kept": "X"}, mode, half)
    assert shown(after) == shown(tree(expected))


def test_permissions_that_nobody_saw_before_are_those_of_the_store():
    for local, remote in (("X!", "X"), ("X", "X!")):
        _, here, there, _ = run({}, {"f": local}, {"f": remote})
        assert shown(here) == shown(there) == shown(tree({"f": remote}))


def test_a_conflict_copy_takes_a_longer_name_where_its_own_holds_something_else():
    short, longer = (name for name, _ in zip(conflict_names("f.txt", leaf("Y").digest), range(2), strict=False))
    taken = {short: "T"}
    _, here, there, _ = run({"f.txt": "X", **taken}, {"f.txt": "Y", **taken}, {"f.txt": "Z", **taken})
    assert shown(here) == shown(there) == shown(tree({"f.txt": "Z", **taken, longer: "Y"}))


def test_failed_paths_keep_their_base():
    base, local = {"a": "X", "d": {"x": "X"}}, {"a": "Y", "d": {"x": "Y", "n": "Y"}, "e": {"f": "Y", "g": "Y"}}
    found = plan(tree(base), tree(local), tree(base))
    after = settle(found, failed=["a", "d/x", "e/f"])
    assert shown(after) == shown(tree({"a": "X", "d": {"x": "X", "n": "Y"}, "e": {"g": "Y"}}))


@pytest.mark.parametrize(("local", "copies"), ((None, {}), ("Y", {copy_name("d", "Y"): "Y"})))
def test_add_leaves_even_an_empty_directory_of_the_store_whole(local, copies):
    _, _, there, _ = run({"d": {}}, {"d": local} if local else {}, {"d": {}}, ADD)
    assert shown(there) == shown(tree({"d": {}, **copies}))


@pytest.mark.parametrize(("mode", "path"), ((NEWER, "n"), (MIRROR, "n"), (MIRROR, "d/n")))
def test_values_that_survive_nowhere_are_reported_for_history(mode, path):
    base, local = {"n": "X", "d": {"n": "X", "o": "X"}}, {"n": "Y"}
    remote = {"n": "Z", "d": {"n": "Z", "o": "X"}} if mode is MIRROR else {"n": "Z"}
    found = plan(tree(base), tree(local), tree(remote), mode)
    losers = {conflict.path for conflict in found.conflicts if conflict.copy is None}
    assert path in losers
    assert "d/o" not in losers


# Databases (U8), moves, reading ahead -------------------------------------------------------------


def database(main, wal=None):
    files = {"x.db": leaf(main, group="x.db")}
    return Directory(files | ({"x.db-wal": leaf(wal, group="x.db")} if wal else {}))


def test_the_files_of_a_database_are_decided_together():
    found, here, there, _ = run(database("X", "W"), database("X", "V"), database("Y", "W"))
    (copy,) = {conflict.copy for conflict in found.conflicts if conflict.path == "x.db"}
    assert shown(here) == shown(there)
    assert shown(there.children["x.db"]) == shown(leaf("Y"))
    assert shown(there.children["x.db-wal"]) == shown(leaf("W"))
    assert shown(there.children[copy]) == shown(leaf("X"))
    assert shown(there.children[f"{copy}-wal"]) == shown(leaf("V"))


def test_a_database_that_lost_its_journal_takes_the_other_sides_whole():
    found, here, _there, _ = run(database("X", "W"), database("X", "W"), database("Y"))
    assert shown(here) == shown(database("Y"))
    assert not found.conflicts


def test_a_rename_is_found_as_a_move():
    found = plan(
        tree({"a": "X", "d": {"b": "Y"}}), tree({"c": "X", "e": {"b": "Y"}}), tree({"a": "X", "d": {"b": "Y"}})
    )
    assert moves(found, Side.REMOTE) == {"c": "a", "e/b": "d/b"}
    assert moves(found, Side.LOCAL) == {}


def test_leaves_are_read_only_when_something_depends_on_them():
    unread = leaf("X")._replace(digest=None)
    local = Directory({"new": unread, "both": unread, "old": unread, "d": Directory({"in": unread})})
    found = undetermined(tree({"old": "Y"}), local, tree({"both": "Z"}))
    assert sorted(path for _, path in found) == ["both", "old"]


def test_possible_renames_are_read():
    unread = leaf("X")._replace(digest=None)
    local = Directory({"d": Directory({"same-size": unread, "other": unread._replace(size=99)})})
    assert list(possible_moves(tree({"gone": "Y"}), local, tree({"gone": "Y"}))) == [(Side.LOCAL, "d/same-size")]


# D.4: laws ----------------------------------------------------------------------------------------


def marked(node, mark):
    """The same tree, its directories marked as known."""
    if not isinstance(node, Directory):
        return node
    children = {name: marked(child, (mark, name)) for name, child in node.children.items()}
    return Directory(children, node.invisible, node.holder, node.materialised, mark)


@given(triples(), st.sampled_from(Reconcile))
@settings(max_examples=200)
def test_law_1_a_second_run_plans_nothing(woods, mode):
    _, here, there, after = run(*woods, mode)
    again = plan(after, here, there, mode)
    assert again.actions == []
    if not mode.one_way:
        assert shown(after) == shown(here) == shown(there)


@given(roots, st.data())
def test_law_2_one_side_unchanged_gives_the_other_exactly(base, data):
    edited = data.draw(roots)
    assert shown(run(base, edited, base)[2]) == shown(tree(edited))
    assert shown(run(base, base, edited)[1]) == shown(tree(edited))
    assert run(base, edited, edited)[0].actions == []


@given(triples())
@settings(max_examples=200)
def test_law_3_every_new_value_survives_at_its_path_or_as_a_copy(woods):
    base, local, remote = map(tree, woods)
    found, here, _, _ = run(base, local, remote)
    olds, results = dict(leaves(base)), {path: (node.kind, node.digest) for path, node in leaves(here)}
    copies = {(conflict.path, conflict.origin.side): conflict.copy for conflict in found.conflicts}
    for side, source in ((Side.LOCAL, local), (Side.REMOTE, remote)):
        for path, node in leaves(source):
            old = olds.get(path)
            if old is not None and (old.kind, old.digest) == (node.kind, node.digest):
                continue
            places = {path, copies.get((path, side)), *_names_beside(path, node)}
            assert any(results.get(place) == (node.kind, node.digest) for place in places)


def _names_beside(path, node):
    parent, _, name = path.rpartition("/")
    return [f"{parent}/{found}" if parent else found for found in conflict_names(name, node.digest)]


@given(triples())
def test_law_4_unchanged_stays_and_deleted_goes(woods):
    base, local, remote = map(tree, woods)
    _, here, _, _ = run(base, local, remote)
    results, mine, theirs = dict(leaves(here)), dict(leaves(local)), dict(leaves(remote))
    for path, old in leaves(base):
        states = [None if path not in side else side[path].digest == old.digest for side in (mine, theirs)]
        if states == [True, True]:
            assert results[path].digest == old.digest
        if set(states) == {True, None}:
            assert path not in results or results[path].digest != old.digest or results[path].kind is not old.kind


@given(triples())
def test_law_5_swapping_sides_changes_only_who_holds_the_name(woods):
    base, local, remote = woods
    one, other = run(base, local, remote)[1], run(base, remote, local)[1]
    assert values(one) == values(other)
    assert directories(one) == directories(other)


def directories(node, path=""):
    found = set()
    for name, child in node.children.items():
        if isinstance(child, Directory):
            found |= {f"{path}/{name}"} | directories(child, f"{path}/{name}")
    return found


@given(roots, roots)
def test_law_6_an_empty_base_is_a_union(local, remote):
    result = run({}, local, remote)[1]
    for side in (local, remote):
        assert not set(values(tree(side))) - set(values(result))


@given(triples())
def test_law_7_add_removes_only_by_overwriting_what_was_not_edited(woods):
    base, local, remote = map(tree, woods)
    _, here, there, _after = run(base, local, remote, ADD)
    assert shown(here) == shown(local)
    olds, mine, results = dict(leaves(base)), dict(leaves(local)), values(there)
    for path, node in leaves(remote):
        if (node.kind.value, node.digest) not in results:
            assert path in olds
            assert olds[path].digest == node.digest
            assert path in mine or find_directory(local, path)


def find_directory(node, path):
    for name in path.split("/"):
        node = node.children.get(name) if isinstance(node, Directory) else None
    return isinstance(node, Directory)


@given(triples())
def test_law_7_mirror_makes_the_target_equal_to_the_source(woods):
    _, here, there, after = run(*woods, MIRROR)
    assert shown(there) == shown(tree(woods[1])) == shown(after) == shown(here)


@given(triples())
@settings(max_examples=200)
def test_the_halves_in_either_order_give_the_whole(woods):
    whole = shown(run(*woods)[1])
    for order in ((Half.UPLOAD, Half.DOWNLOAD), (Half.DOWNLOAD, Half.UPLOAD)):
        after, here, there = map(tree, woods)
        for half in order:
            _, here, there, after = run(after, here, there, SAFE, half)
        assert shown(here) == shown(there) == shown(after) == whole


@given(triples())
def test_a_mark_only_saves_work(woods):
    base, local, remote = map(tree, woods)
    plain = run(base, local, remote)
    for name in set(base.children) & set(local.children) & set(remote.children):
        nodes = [side.children[name] for side in (base, local, remote)]
        if shown(nodes[0]) == shown(nodes[1]) == shown(nodes[2]):
            for side in (base, local, remote):
                side.children[name] = marked(side.children[name], name)
    marks = run(base, local, remote)
    assert shown(marks[1]) == shown(plain[1])
    assert shown(marks[3]) == shown(plain[3])


@given(triples(), st.data())
def test_law_9_out_of_scope_content_blocks_and_is_never_touched(woods, data):
    base, local, remote = map(tree, woods)
    candidates = [side.children[name] for side in (local, remote) for name in side.children]
    hidden = [node for node in candidates if isinstance(node, Directory)]
    assume(hidden)
    data.draw(st.sampled_from(hidden)).invisible = True
    _, here, there, after = run(base, local, remote)  # carried_out refuses to remove what is invisible
    _, here, there, again = run(after, here, there)
    third = plan(again, here, there)
    assert third.actions == []


@given(st.data())
@settings(max_examples=100)
def test_law_8_several_mounts_come_to_agree_and_lose_nothing_that_nobody_removed(data):
    store = Directory()
    mounts = [[Directory(), Directory()] for _ in range(3)]  # [tree, base]
    written, removed = set(), set()
    for number in range(data.draw(st.integers(0, 12))):
        mount = mounts[data.draw(st.integers(0, 2))]
        what = data.draw(st.sampled_from(("edit", "edit", "edit", *Half, "lose the base")))
        if what == "edit":
            before = mount[0]
            mount[0] = edited(before, data, f"value {number}")
            removed |= set(values(before)) - set(values(mount[0]))
            written |= set(values(mount[0]))
        elif what == "lose the base":
            mount[1] = Directory()
        else:
            _, mount[0], store, mount[1] = run(mount[1], mount[0], store, SAFE, what)
    for _ in range(2):
        for mount in mounts:
            _, mount[0], store, mount[1] = run(mount[1], mount[0], store)
    for mount in mounts:
        assert plan(mount[1], mount[0], store).actions == []
        assert shown(mount[0]) == shown(store)
    assert written - removed <= set(values(store))


def edited(directory, data, value):
    """The directory after one edit at a random place: a new value, a new directory, or a removal."""
    name = data.draw(st.sampled_from(("a", "b")))
    children = dict(directory.children)
    inner = children.pop(name, None)
    what = data.draw(st.sampled_from(("set", "enter", "remove")))
    if what == "set":
        children[name] = leaf(value)
    elif what == "enter":
        children[name] = edited(inner if isinstance(inner, Directory) else Directory(), data, value)
    return Directory(children)
