"""The page about SData says what is true: its code runs, and it carries the attribution."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "sdata.md").read_text()


@pytest.mark.parametrize("number", range(2))
def test_the_code_on_the_page_runs(number: int) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    exec(compile(blocks[number], "docs/sdata.md", "exec"), {})


def test_the_attribution_of_the_notice_is_on_the_page() -> None:
    notice = " ".join((ROOT / "NOTICE").read_text().split())
    sentence = notice[notice.index("Tallystick conforms") :]
    assert sentence in " ".join(PAGE.replace("*", "").split())
