"""Check that docs/conformance.md shows the table of differences that the suites use."""

from __future__ import annotations

from pathlib import Path

import pytest
from differences import DIFFERENCES, NOT_COVERED

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _shown(name: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    return text[text.index(begin) + len(begin) : text.index(end)].splitlines()


TABLES = {
    "differences": [
        _row("name", "library", "what it does", "what numpool does"),
        "|---|---|---|---|",
        *(_row(d.key, d.peer, d.theirs, d.ours) for d in DIFFERENCES),
    ],
    "not covered": [
        _row("what", "why"),
        "|---|---|",
        *(_row(*item) for item in NOT_COVERED.items()),
    ],
}


@pytest.mark.parametrize("name", TABLES)
def test_page_shows_the_table(name):
    """Line by line, and nothing else between the markers."""
    assert _shown(name) == TABLES[name]


def test_names_are_unique():
    """A name stands for one difference, and starts with its peer's."""
    keys = [d.key for d in DIFFERENCES]
    assert len(set(keys)) == len(keys)
    prefixes = {"PyTorch": "torch", "scikit-image": "skimage"}
    for d in DIFFERENCES:
        assert d.key.startswith(prefixes.get(d.peer, d.peer.lower()) + "-")
