"""The page about Eden says what is true: its code runs, one block on top of the other."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "eden.md"


def test_the_code_on_the_page_runs():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
