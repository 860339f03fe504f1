"""Results on a GPU in Markdown."""

from collections.abc import Iterator, Sequence

from benchmarks.measure import FLOOR, HOST, NUMPOOL, REUSED
from benchmarks.results import Result, Results, geometric_mean

# Of the speed of a copy, what windows of up to so many taps an axis are to reach.
SHARE, SMALL_WINDOWS = 0.85, 5

_HEAD = """\
# Results on a GPU

Written by `python -m benchmarks.gpu`: numpool, its peers, and a copy on the device that reads and
writes as many bytes as the case does, by turns in one run, timed by CUDA events. Values are
compared before anything is timed: numpool's with those of its CPU kernels. All make new results,
but for the column of a reused `out=`. Arrays that fit the second-level cache are found there, by
everybody. The host's part is how long a call takes to return: where the GPU has less to do, it is
the time of a call. Times are medians; ratios to a peer below 1 are wins.
"""


def markdown(results: Results) -> str:
    """The whole page."""
    found = results.in_order()
    parts = [_HEAD, _facts(results, found), *_summary(found)]
    for group in dict.fromkeys(result.case.group for result in found):
        parts.append(f"## {group}\n")
        parts.append(_table([result for result in found if result.case.group == group]))
    return "\n".join(parts)


def _facts(results: Results, found: Sequence[Result]) -> str:
    dates = sorted({result.date for result in found})
    facts = dict(results.machine)
    facts["versions"] = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    facts["not installed"] = ", ".join(results.missing) or "none"
    facts["measured"] = " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else ""
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items()) + "\n"


def _share(result: Result) -> float:
    """How much of the speed of a copy is reached."""
    return 1 / result.to_floor


def _summary(found: Sequence[Result]) -> Iterator[str]:
    yield "## Where numpool stands\n"
    yield "| group | cases | with a peer | ahead | numpool / best peer | share of a copy's speed |"
    yield "|---|---|---|---|---|---|"
    for group in dict.fromkeys(result.case.group for result in found):
        yield _mean_row(group, [result for result in found if result.case.group == group])
    yield _mean_row("**all**", found) + "\n"
    small = [r for r in found if max(r.case.kernel_size) <= SMALL_WINDOWS]
    slow = sorted((r for r in small if _share(r) < SHARE), key=_share)
    yield (
        f"Windows of up to {SMALL_WINDOWS} taps an axis: {len(small) - len(slow)} of {len(small)} "
        f"cases reach {SHARE:.0%} of the speed of a copy.\n"
    )
    losses = [r for r in found if r.to_best and r.to_best >= 1]
    yield f"### Behind a peer: {len(losses)} cases\n"
    for result in sorted(losses, key=lambda r: -(r.to_best or 0)):
        yield f"- {result.label}: {result.to_best:.2f} times {result.best}"
    yield f"\n### Small windows below {SHARE:.0%} of a copy: {len(slow)} cases\n"
    for result in slow:
        yield f"- {result.label}: {_share(result):.0%}"
    failed = [(r.label, text) for r in found for text in r.measured.failed.values()]
    if failed:
        yield "\n### Peers that gave other values or failed, and were not timed\n"
        yield from (f"- {label}: {text}" for label, text in failed)
    yield ""


def _mean_row(name: str, found: Sequence[Result]) -> str:
    ratios = [result.to_best for result in found if result.to_best]
    ahead = sum(ratio < 1 for ratio in ratios)
    to_best = f"{geometric_mean(ratios):.2f}" if ratios else ""
    share = geometric_mean(_share(result) for result in found)
    return f"| {name} | {len(found)} | {len(ratios)} | {ahead} | {to_best} | {share:.0%} |"


def _table(found: Sequence[Result]) -> str:
    lines = [
        "| case | numpool, us | reused `out` | host's part | copy | share of a copy's speed "
        "| best peer | numpool / best peer | all peers, as multiples of numpool |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for result in found:
        ours = result.seconds(NUMPOOL)
        best = f"{result.best} {_us(result.peers[result.best])}" if result.best else ""
        ratio = f"{result.to_best:.2f}" if result.to_best else ""
        cells = [
            result.case.name,
            *(_us(result.seconds(name)) for name in (NUMPOOL, REUSED, HOST, FLOOR)),
            f"{_share(result):.0%}",
            best,
            f"**{ratio}**" if result.to_best and result.to_best >= 1 else ratio,
            ", ".join(f"{name} {time / ours:.3g}×" for name, time in result.peers.items()),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.3g}" if seconds < 1e-3 else f"{seconds * 1e6:.0f}"
