"""Options of ``tallystick sync`` that concern directories, and which options concern which kind of end."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from tallystick.errors import UsageError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")

RECORDS_ONLY = (
    "only",
    "update",
    "where",
    "leaving",
    "identity",
    "ref",
    "mapping",
    "run_name",
    "trust",
)
TREES_ONLY = (
    "mirror",
    "watch",
    "include",
    "ignore_files",
    "explain",
    "state",
    "accept_root",
    "fsync",
    "xattrs",
)
_NAMES = {"mapping": "--map", "ignore_files": "--no-ignore-files", "fsync": "--no-fsync"}

_OPTIONS = (
    click.option("--mirror", is_flag=True, help="Directories: make B equal to A (with --direction pull, A to B)."),
    click.option("--watch", is_flag=True, help="Directories: go on, and synchronize whatever changes."),
    click.option("--include", multiple=True, metavar="PATTERN", help="Directories: take in again what is left out."),
    click.option(
        "--no-ignore-files", "ignore_files", is_flag=True, flag_value=False, default=True, help="No .tallyignore files."
    ),
    click.option("--explain", metavar="PATH", help="Directories: say which rule leaves PATH out, and do nothing."),
    click.option("--state", type=click.Path(), metavar="DIR", help="Directories: where the memory of the pair lies."),
    click.option("--accept-root", is_flag=True, help="Directories: a root was made anew; unite both trees."),
    click.option(
        "--no-fsync", "fsync", is_flag=True, flag_value=False, default=True, help="Directories: do not wait for disks."
    ),
    click.option("--xattrs", is_flag=True, help="Directories: extended attributes travel with content."),
)


def tree_options(command: Decorated) -> Decorated:
    """Add the options of directories to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def is_tree(name: str, other: str) -> bool:
    """True when an end is a tree: a directory or context that is there, or one that may be made beside one that is."""
    if os.path.isdir(name) or is_remote(name):
        return True
    if _SCHEME.match(name):
        return False
    return name.endswith("/") or (not os.path.exists(name) and (os.path.isdir(other) or is_remote(other)))


def is_remote(name: str) -> bool:
    """True for the URL of a context or a bucket. Only a name that is a URL loads anything."""
    if "://" not in name:
        return False
    from tallystick.contexts.opening import is_remote_tree

    return is_remote_tree(name)


def are_trees(a: str, b: str) -> bool:
    """True when a pair is one of directory trees. Raises UsageError when only one of them can be one."""
    trees = (is_tree(a, b), is_tree(b, a))
    if any(trees) and not all(trees):
        tree, other = (a, b) if trees[0] else (b, a)
        raise UsageError(
            f"{tree} is a directory or context and {other} is none", hint="name two trees, or two databases or sites"
        )
    return all(trees)


def refuse(names: tuple[str, ...], kind: str) -> None:
    """Raise UsageError for an option that was given and does not concern this kind of end."""
    from click.core import ParameterSource

    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = _NAMES.get(name, "--" + name.replace("_", "-"))
            raise UsageError(f"{option} does not concern {kind}", hint="leave it out; see tallystick sync --help")


def wishes_of(given: Mapping[str, Any]) -> Any:
    """What the options ask two trees for. Raises UsageError."""
    from tallystick.trees.opening import CONFLICTS, Wishes

    policies = given["conflict"] or ("keep-both",)
    if len(policies) > 1 or policies[0] not in CONFLICTS:
        raise UsageError(
            f"--conflict {' '.join(policies)!r} is no policy for directories",
            hint=f"use one of {', '.join(CONFLICTS)}",
        )
    return Wishes(
        direction=given["direction"],
        mirror=given["mirror"],
        delete=_deletes(given["strategy"]),
        conflict=policies[0],
        patterns=patterns_of(given),
        ignore_files=given["ignore_files"],
        allowed=allowed_deletions(given["allow_deletes"]),
        accept_root=given["accept_root"],
        durable=given["fsync"],
        dry_run=given["dry_run"],
        xattrs=given["xattrs"],
    )


def patterns_of(given: Mapping[str, Any]) -> tuple[str, ...]:
    """The ignore patterns of the command line: what is included again comes last."""
    return (*given["exclude"], *(f"!{pattern}" for pattern in given["include"]))


def _deletes(strategy: str | None) -> bool:
    if strategy is None:
        return True
    words = {word.strip() for word in strategy.split(",") if word.strip()}
    if words in ({"create", "update", "delete"}, {"create", "update"}):
        return "delete" in words
    raise UsageError(
        f"--strategy {strategy!r} does not concern directories", hint="use create,update to delete nothing"
    )


def allowed_deletions(text: str | None) -> int | None:
    """How many deletions ``--allow-deletes`` lets pass, None for any number. Raises UsageError."""
    if text is None:
        return 0
    if text == "all":
        return None
    if text.isdigit():
        return int(text)
    raise UsageError(f"--allow-deletes {text!r} is neither a number nor all", hint="say how many may go")
