"""Results in Markdown."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.cases import Case
from benchmarks.measure import FLOOR, NUMPOOL, REUSED
from benchmarks.reasons import FAR_FROM_FLOOR, LOSSES, reasons_on
from benchmarks.results import Result, Results, geometric_mean

# Cases are long enough for threads whose floor takes as many seconds.
_BUSY = 1e-4

_HEAD = """\
# Results

Written by `python -m benchmarks.report`: numpool, its peers and the floor, interleaved in one run.
The floor is a copy on all threads that reads as many bytes as the case and writes as many bytes
into a new array. All make new results, but for the column of a reused `out=`. Values are compared
before anything is timed: `benchmarks/check.py` has the tolerances, `benchmarks/timing.py` how the
times are taken, `benchmarks/peers/` what each peer does. Peers have their arrays in the layout that
suits them best, made beforehand. Times are medians; ratios below 1 are wins.

![Each case beside its best peer and the floor](RESULTS.png)
"""


def markdown(results: Results) -> str:
    """The whole page."""
    found = results.in_order()
    parts = [_HEAD, *_facts(results, found), *_summary(found, results.machine["CPU"])]
    for group in dict.fromkeys(result.case.group for result in found):
        parts.append(f"## {group}\n")
        parts.append(_table([result for result in found if result.case.group == group]))
    return "\n".join(parts)


def _facts(results: Results, found: Sequence[Result]) -> Iterator[str]:
    dates = sorted({result.date for result in found})
    rounds = sorted({result.rounds for result in found})
    facts = dict(results.machine)
    facts["versions"] = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    facts["not installed"] = ", ".join(results.missing) or "none"
    facts["measured"] = " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else ""
    facts["rounds"] = " to ".join(str(n) for n in dict.fromkeys((rounds[0], rounds[-1])))
    yield "\n".join(f"- {name}: {fact}" for name, fact in facts.items()) + "\n"


def _summary(found: Sequence[Result], cpu: str) -> Iterator[str]:
    yield "## Where numpool stands\n"
    yield "Geometric means: below 1, numpool is ahead.\n"
    yield "| group | cases | with a peer | ahead | numpool / best peer | numpool / floor |"
    yield "|---|---|---|---|---|---|"
    for group in dict.fromkeys(result.case.group for result in found):
        yield _mean_row(group, [result for result in found if result.case.group == group])
    yield _mean_row("**all**", found) + "\n"
    bound = [result for result in found if _bound_by_memory(result.case)]
    mean = geometric_mean(result.to_floor for result in bound)
    yield (
        "Max, average, L1, L2 and L-inf, forward, arrays of 1 MB and more, windows up to 5: "
        f"{mean:.2f} times the floor over {len(bound)} cases.\n"
    )
    busy = [result for result in found if result.to_floor > 2 and result.seconds(FLOOR) > _BUSY]
    speedups = [result.speedup for result in busy if result.speedup]
    yield (
        "All threads against one, where the floor takes a tenth of a millisecond or more and "
        f"numpool twice as long: {geometric_mean(speedups):.2f} times as fast over {len(speedups)} "
        "cases.\n"
    )
    losses = [result for result in found if result.to_best and result.to_best >= 1]
    yield f"### Behind a peer: {len(losses)} cases\n"
    yield from _losses(losses, cpu)
    far = sorted((r for r in bound if r.to_floor > 2), key=lambda r: -r.to_floor)
    yield f"### More than twice the floor, of the cases bound by memory: {len(far)} cases\n"
    if far:
        yield "| case | numpool / floor | reason |\n|---|---|---|"
        reason = reasons_on(cpu, FAR_FROM_FLOOR)
        for result in far:
            why = reason(result.label)
            yield f"| {result.label} | {result.to_floor:.2f} | {why} |"
        yield ""
    failed = [(r.label, *item) for r in found for item in r.measured.failed.items()]
    if failed:
        yield "### Peers that gave other values or failed, and were not timed\n"
        yield "\n".join(f"- {label}: {text}" for label, _, text in failed) + "\n"


def _losses(losses: Sequence[Result], cpu: str) -> Iterator[str]:
    if losses:
        yield "| case | best peer | numpool / best peer | reason |\n|---|---|---|---|"
        reason = reasons_on(cpu, LOSSES)
        for result in sorted(losses, key=lambda r: -(r.to_best or 0)):
            why = reason(result.label)
            yield f"| {result.label} | {result.best} | {result.to_best:.2f} | {why} |"
        yield ""


def _mean_row(name: str, found: Sequence[Result]) -> str:
    ratios = [result.to_best for result in found if result.to_best]
    ahead = sum(ratio < 1 for ratio in ratios)
    to_best = f"{geometric_mean(ratios):.2f}" if ratios else ""
    to_floor = geometric_mean(result.to_floor for result in found)
    return f"| {name} | {len(found)} | {len(ratios)} | {ahead} | {to_best} | {to_floor:.2f} |"


def _bound_by_memory(case: Case) -> bool:
    simple = case.operator == "max" or case.operator == "avg" or case.p in (1, 2, math.inf)
    plain = simple and not case.indices and not case.backward
    size = math.prod(case.shape) * np.dtype(case.dtype).itemsize
    return plain and size >= 1_000_000 and max(case.kernel_size) <= 5


def _table(found: Sequence[Result]) -> str:
    lines = [
        "| case | numpool, ms | reused `out` | floor | best peer | / best peer | / floor "
        "| 1 thread / all | all peers, as multiples of numpool |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for result in found:
        best = f"{result.best} {_ms(result.peers[result.best])}" if result.best else ""
        ratio = f"{result.to_best:.2f}" if result.to_best else ""
        if result.to_best and result.to_best >= 1:
            ratio = f"**{ratio}**"
        cells = [
            result.case.name,
            _ms(result.seconds(NUMPOOL)),
            _ms(result.seconds(REUSED)),
            _ms(result.seconds(FLOOR)),
            best,
            ratio,
            f"{result.to_floor:.2f}",
            f"{result.speedup:.2f}" if result.speedup else "",
            _others(result),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _others(result: Result) -> str:
    """All peers as multiples of numpool's time."""
    ours = result.seconds(NUMPOOL)
    texts = []
    for name, seconds in result.peers.items():
        mark = " (not ranked)" if name in result.case.unranked else ""
        texts.append(f"{name} {seconds / ours:.3g}×{mark}")
    texts += [f"{name} over 30 s" for name in result.measured.too_slow]
    return ", ".join(texts)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:.0f}"
