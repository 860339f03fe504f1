"""What is followed from commit to commit: a choice from the table of cases, and what a process pays
before its first result.
"""

import re
from typing import NamedTuple

from benchmarks.cases import CASES, Case

# Cases whose "group: name" one of them finds, with the operators and options that are used most.
_QUICK = (
    r"^CNN: .* 16x64x112x112 k3",
    r"^images: .* 6000x4000x3 axis 0,1 k2 .* uint8$",
    r"^volumes: (max|avg) 16x64x64x64 k2",
    r"^small: .* 1000 calls",
)
_MORE = (
    r"^CNN: .* 8x64x224x224 k2",
    r"^CNN: .* 32x512x7x7",
    r"^CNN, channels last: .* 16x112x112x64",
    r"^images: .* 4096x4096 k3 s1 p1$",
    r"^images: .* k31 .* p15$",
    r"^volumes: .* 16x64x64x64 k3",
    r"^signals: .* 64x1000000 k5",
    r"^hard layouts: .* every second column",
)
_PARALLEL = r"^CNN: (max|avg|L2)( backward)? 16x64x112x112 k3"
_PEAK = r"^CNN: (max|avg|L2)( backward)? 16x64x112x112 k3"

# The kinds of figures, and what stands before a case in their names.
TIME, PARALLEL, PEAKMEM = "time", "parallel", "peakmem"
IMPORT, FIRST_CALL, COLD_COMPILE = "import", "first_call", "cold_compile"


class Tracked(NamedTuple):
    """One figure that is followed: bytes for `peakmem`, seconds for all others.

    `time` is that of one thread, which other processes disturb least; `parallel` of all.
    """

    kind: str
    case: Case | None
    quick: bool

    @property
    def name(self) -> str:
        """Unique among all that are tracked."""
        if self.case is None:
            return self.kind
        return self.case.name if self.kind == TIME else f"{self.kind} {self.case.name}"


def _usual(case: Case) -> bool:
    return (
        case.dtype in ("float32", "uint8")
        and case.indices != "offset"
        and (case.operator != "lp" or case.p == 2)
    )


def _chosen(*patterns: str) -> list[Case]:
    """Every pattern finds a case, or what it stood for is no longer tracked."""
    found = {}
    for pattern in patterns:
        cases = [c for c in CASES if re.search(pattern, f"{c.group}: {c.name}") and _usual(c)]
        assert cases, f"no case is found by {pattern}"
        found.update({case.name: case for case in cases})
    return list(found.values())


def tracked(quick: bool = False) -> list[Tracked]:
    """All that is tracked, or the quick choice of it."""
    quick_cases, peaks = _chosen(*_QUICK), _chosen(_PEAK)
    first = next(case for case in peaks if case.operator == "max")
    every = [
        *(Tracked(TIME, case, True) for case in quick_cases),
        *(Tracked(TIME, case, False) for case in _chosen(*_MORE)),
        *(Tracked(PARALLEL, case, True) for case in _chosen(_PARALLEL)),
        *(Tracked(PEAKMEM, case, True) for case in peaks),
        Tracked(IMPORT, None, True),
        Tracked(FIRST_CALL, first, True),
        *(Tracked(FIRST_CALL, case, False) for case in peaks if case != first),
        Tracked(COLD_COMPILE, first, False),
    ]
    return [one for one in every if one.quick or not quick]
