"""Slowdowns that are wanted: lines `Slower: BENCHMARK, reason` in the messages of commits."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

# The names of benchmarks may hold commas, but none with a space behind it.
_LINE = re.compile(
    r"^Slower:[ \t]*(?P<benchmark>\S.*?),[ \t]+(?P<reason>\S.*?)[ \t]*$", re.MULTILINE
)


class Accepted(NamedTuple):
    """Benchmarks that may be slower, by name or by a pattern with `*`, and why."""

    benchmark: str
    reason: str

    def covers(self, name: str) -> bool:
        """Whether it speaks of a benchmark."""
        return name == self.benchmark or fnmatchcase(name, self.benchmark)


def accepted(messages: Iterable[str]) -> list[Accepted]:
    """What the messages of commits accept."""
    return [
        Accepted(match["benchmark"], match["reason"])
        for message in messages
        for match in _LINE.finditer(message)
    ]


def reason(lines: Iterable[Accepted], name: str) -> str | None:
    """Why a benchmark may be slower; None where nobody said so."""
    return next((line.reason for line in lines if line.covers(name)), None)
