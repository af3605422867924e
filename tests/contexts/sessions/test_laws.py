"""Laws of mounts under policies, over histories of two sessions (spec contexts D.4: 8 and 9, K5)."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tallystick.contexts import BWList, WhiteList
from tallystick.contexts.files import Span, file_entry, pieces_of
from tallystick.contexts.sessions.session import CreateSessionParams
from tallystick.trees.guards import Limits

from .conftest import files, sync_of, write

PATHS = ("src/a", "src/b", "doc/c")
STEPS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(("write", "delete", "upload", "download")), st.sampled_from(PATHS)),
    max_size=12,
)


def stored(host, context):
    """path below the mount -> content of all files of the context."""
    found = {}
    for key in files(host, context):
        entry = file_entry(host, context, key)
        found[key.removeprefix("/data/")] = b"".join(pieces_of(host, context, entry, Span(0, entry.size, False)))
    return found


def shown(session):
    """path -> content of all files of the mount."""
    root = session.path("/data")
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def carry_out(sessions, steps):
    """The steps, every write with a value of its own; gives what was done to each path."""
    done = {}
    for number, (which, verb, path) in enumerate(steps):
        session = sessions[which]
        if verb in ("upload", "download"):
            assert session.context.sync(mode=verb).success
            continue
        if verb == "write":
            write(session, f"/data/{path}", b"value %d" % number)
        else:
            session.path(f"/data/{path}").unlink(missing_ok=True)
        done.setdefault(path, []).append((which, verb, b"value %d" % number))
    return done


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
@example(steps=[(1, "write", "doc/c"), (1, "upload", "src/a"), (1, "write", "doc/c")])
def test_mounts_and_store_become_equal_and_lose_nothing_and_out_of_scope_is_untouched(site, host, steps):
    context = host.create(f"c{len(host.contexts())}").id
    place = Path(tempfile.mkdtemp())
    sessions = []
    for name, lists in (("narrow", [WhiteList("src")]), ("wide", [])):
        params = CreateSessionParams(
            [sync_of(context, bw_list=BWList(lists))],
            root=place / name,
            memory=place / "memory",
            limits=Limits(emptied=1000),
            durable=False,
        )
        sessions.append(site.sessions.create(params).session)
    narrow, wide = sessions
    try:
        write(narrow, "/data/doc/own", b"nobody else's")
        done = carry_out(sessions, steps)
        beside = {path: content for path, content in shown(narrow).items() if path.startswith("doc/")}
        for session in (narrow, wide, narrow, wide):
            assert session.context.sync(mode="both").success

        kept = stored(host, context)
        assert shown(wide) == kept
        assert shown(narrow) == {**{path: kept[path] for path in kept if path.startswith("src/")}, **beside}
        for path, operations in done.items():
            which, verb, value = operations[0]
            if len(operations) == 1 and verb == "write" and not (which == 0 and path.startswith("doc/")):
                assert kept[path] == value
    finally:
        for session in sessions:
            session.context.close()
        shutil.rmtree(place)
