"""The grammar of ignore files is that of git: both are asked (spec contexts W5, docs/trees.md)."""

import shutil
import subprocess

import pytest

from tallystick.errors import FilterError
from tallystick.trees.ignoring import IgnoreRules

RULES = {
    ".tallyignore": (
        b"# comment\n\n*.o\n!keep.o\n/top\nbuild/\ndoc/*.txt\n**/deep\na/**/z\n\\#odd\n\\!odd\nx?y\n[a-c].q\nend\\ \n"
    ),
    "d/.tallyignore": b"/local\n!m.o\nbuild2\n",
}
FILES = (
    *("m.o", "keep.o", "d/m.o", "e/m.o", "top", "d/top", "build/x", "d/build/x", "e/build", "doc/a.txt", "doc/s/a.txt"),
    *("deep", "d/e/deep/x", "a/z", "a/b/c/z", "b/a/z", "#odd", "!odd", "# comment", "xay", "x/y", "xy", "a.q", "d.q"),
    *("end ", "end", "local", "d/local", "d/e/local", "build2/x", "d/e/build2/x", "build/keep.o", "other"),
)


def test_what_is_ignored_is_what_git_ignores(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not here to be asked")
    for name, content in {**dict.fromkeys(FILES, b""), **RULES}.items():
        path = tmp_path / name.replace(".tallyignore", ".gitignore")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_dir():
            path.write_bytes(content)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    asked = ["git", "-C", tmp_path, "check-ignore", "--no-index", "-z", "--stdin"]
    found = subprocess.run(asked, input="\0".join(FILES), capture_output=True, text=True, check=True)
    rules = IgnoreRules(RULES)

    ignored = {path for path in FILES if not rules.includes(path, False)}

    assert ignored == set(found.stdout.rstrip("\0").split("\0"))
    assert {"m.o", "build/keep.o", "a/b/c/z", "end "} <= ignored < set(FILES)
    assert {path for path in FILES if rules.explain(path).ignored} == ignored


def test_a_pattern_that_cannot_be_names_its_file():
    with pytest.raises(FilterError, match=r"d/\.tallyignore"):
        IgnoreRules({"d/.tallyignore": b"!\n"})
