"""Small trees for tests: written as nested dictionaries, carried out in memory, perturbed at random.

A string is a leaf: ``"X"`` a file of that value, ``"@X"`` a link, ``"X!"`` an executable file, ``"?"`` something
unreadable, ``"~"`` something expired. A key ``"#"`` in a dictionary says that it holds something out of scope.
"""

from blake3 import blake3
from hypothesis import strategies as st

from tallystick.trees.merging import Side
from tallystick.trees.nodes import EXPIRED, UNKNOWN, Directory, Kind, Leaf, Sentinel
from tallystick.trees.plan import Verb


def leaf(text, mtime=0, group="", materialised=True):
    kind = Kind.LINK if text.startswith("@") else Kind.FILE
    value = text.removeprefix("@").removesuffix("!")
    permissions = 0o755 if text.endswith("!") else 0o644
    digest = blake3(f"{kind.value}:{value}".encode()).digest()
    return Leaf(kind, digest, len(value), mtime, permissions if kind is Kind.FILE else 0o777, materialised, group)


def tree(wood, materialised=True):
    """The node that a nested dictionary, a string or None describes."""
    if wood is None or isinstance(wood, Leaf | Directory | Sentinel):
        return wood
    if wood == "?":
        return UNKNOWN
    if wood == "~":
        return EXPIRED
    if isinstance(wood, str):
        return leaf(wood, materialised=materialised)
    children = {name: tree(child, materialised) for name, child in wood.items() if name != "#"}
    return Directory(
        {name: child for name, child in children.items() if child is not None},
        invisible="#" in wood,
        materialised=materialised,
    )


def mutable(node):
    """A deep copy whose directories are plain dictionaries; ``"#"`` stays where something is out of scope."""
    if not isinstance(node, Directory):
        return node
    copied = {name: mutable(child) for name, child in node.children.items()}
    return copied | {"#": True} if node.invisible else copied


def shown(node):
    """A tree by value only: directories as dictionaries, leaves as (kind, digest, permissions)."""
    if isinstance(node, Leaf):
        return (node.kind, node.digest, node.permissions)
    if isinstance(node, Directory):
        return {name: shown(child) for name, child in node.children.items() if child is not None}
    if isinstance(node, dict):
        return {name: shown(child) for name, child in node.items() if name != "#" and child is not None}
    return node


def values(node):
    """The multiset of leaf values as a sorted list."""
    if isinstance(node, Leaf):
        return [(node.kind.value, node.digest)]
    if isinstance(node, Directory):
        return sorted(value for child in node.children.values() for value in values(child))
    return []


def carried_out(found):
    """The trees (local, remote) after the actions of a plan, carried out one by one and checked on the way."""
    trees = {Side.LOCAL: mutable(found.local), Side.REMOTE: mutable(found.remote)}
    before = {Side.LOCAL: found.local, Side.REMOTE: found.remote}
    for action in found.actions:
        *parents, name = action.path.split("/")
        directory = trees[action.side]
        for parent in parents:
            directory = directory[parent]
            assert isinstance(directory, dict), f"{action} stands in no directory"
        if action.aside is not None:
            assert at(trees[action.side], action.aside) is not None, f"{action} before its copy"
        if action.verb is Verb.REMOVE:
            assert name in directory, f"{action} removes nothing"
            assert not holds_invisible(directory[name]), f"{action} removes what is out of scope"
            del directory[name]
            continue
        if action.verb is Verb.PERMIT:
            directory[name] = directory[name]._replace(permissions=action.node.permissions)
            continue
        assert not holds_invisible(directory.get(name)), f"{action} replaces what is out of scope"
        if action.origin is not None and isinstance(action.node, Leaf):
            source = at(mutable(before[action.origin.side]), action.origin.path)
            assert source.digest == action.node.digest, f"{action} has no content"
        directory[name] = mutable(action.node)
    return tuple(frozen(trees[side]) for side in (Side.LOCAL, Side.REMOTE))


def at(mapping, path):
    for name in path.split("/"):
        if not isinstance(mapping, dict):
            return None
        mapping = mapping.get(name)
    return mapping


def holds_invisible(node):
    if node is UNKNOWN:
        return True
    return isinstance(node, dict) and ("#" in node or any(holds_invisible(child) for child in node.values()))


def frozen(mapping):
    if not isinstance(mapping, dict):
        return mapping
    children = {name: frozen(child) for name, child in mapping.items() if name != "#"}
    return Directory(children, invisible="#" in mapping)


# Random trees -------------------------------------------------------------------------------------

NAMES = ("a", "b", "c")
VALUES = ("X", "Y", "Z", "@X", "@Y", "X!")

leaf_texts = st.sampled_from(VALUES)
woods = st.recursive(
    leaf_texts | st.just({}), lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=3), max_leaves=8
)
roots = st.dictionaries(st.sampled_from(NAMES), woods, max_size=3)


@st.composite
def perturbed(draw, wood):
    """The same tree after a few edits: changes, removals, new things, renames."""
    copied = dict(wood.items())
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(NAMES))
        edit = draw(st.sampled_from(("set", "remove", "enter", "enter", "rename")))
        if edit == "remove":
            copied.pop(name, None)
        elif edit == "enter" and isinstance(copied.get(name), dict):
            copied[name] = draw(perturbed(copied[name]))
        elif edit == "rename" and name in copied:
            copied[draw(st.sampled_from(NAMES))] = copied.pop(name)
        else:
            copied[name] = draw(woods)
    return copied


@st.composite
def triples(draw):
    """A base and two perturbations of it."""
    base = draw(roots)
    return base, draw(perturbed(base)), draw(perturbed(base))
