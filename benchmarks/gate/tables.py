"""What was found, for people and for programs."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.gate.comparison import SAME, SLOWER, Result
from benchmarks.tracked import PEAKMEM

_HEAD = ("benchmark", "base", "head", "head / base", "99 % interval", "pairs", "verdict")


def line(result: Result) -> str:
    """One result as it is found."""
    text = f"{result.name}: {_verdict(result)}"
    if result.log_ratios:
        text += f", {result.ratio:.2f} in {_interval(result)}, {len(result.log_ratios)} pairs"
    return text


def text(results: Sequence[Result]) -> str:
    """A table in columns."""
    rows = [_HEAD, *map(_cells, results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    lines = ("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def markdown(results: Sequence[Result], facts: Mapping[str, str]) -> str:
    """A summary for a pull request: what is not the same comes first, the rest is folded."""
    told = [result for result in results if result.verdict != SAME]
    same = [result for result in results if result.verdict == SAME]
    parts = [f"### Speed: {summary(results)}", ""]
    parts += [f"- {name}: {fact}" for name, fact in facts.items()]
    if told:
        parts += ["", _markdown_table(told)]
    if same:
        parts += ["", f"<details><summary>{len(same)} the same</summary>", ""]
        parts += [_markdown_table(same), "", "</details>"]
    return "\n".join(parts) + "\n"


def _markdown_table(results: Iterable[Result]) -> str:
    rows = [_HEAD, ("---",) * len(_HEAD), *map(_cells, results)]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)


def plain(results: Sequence[Result], facts: Mapping[str, str]) -> str:
    """JSON with every pair."""
    found: list[dict[str, Any]] = []
    for result in results:
        entry = {
            "benchmark": result.name,
            "kind": result.kind,
            "verdict": result.verdict,
            "note": result.note,
            "unit": "bytes" if result.kind == PEAKMEM else "seconds",
            "base": result.base,
            "head": result.head,
            "ratio": result.ratio,
            "interval": list(result.interval),
            "log_ratios": result.log_ratios,
            "confirmations": result.confirmations,
            "instructions": result.instructions,
        }
        found.append({key: _number(value) for key, value in entry.items()})
    return json.dumps({**facts, "benchmarks": found}, indent=1) + "\n"


def _number(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, list):
        return [_number(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def summary(results: Sequence[Result]) -> str:
    """The verdicts in one line, those that matter first."""
    counts = Counter(result.verdict for result in results)
    order = sorted(counts, key=lambda verdict: (verdict != SLOWER, verdict == SAME, verdict))
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in order) or "nothing measured"


def _cells(result: Result) -> tuple[str, ...]:
    measured = bool(result.log_ratios)
    return (
        result.name,
        _amount(result.base, result.kind) if measured else "",
        _amount(result.head, result.kind) if measured else "",
        f"{result.ratio:.3f}" if measured else "",
        _interval(result) if measured else "",
        str(len(result.log_ratios)) if measured else "",
        _verdict(result),
    )


def _verdict(result: Result) -> str:
    said = result.verdict
    if result.confirmations:
        said += f" (fresh processes: {', '.join(f'{r:.2f}' for r in result.confirmations)}"
        if math.isfinite(result.instructions):
            said += f"; instructions: {result.instructions:.2f}"
        said += ")"
    return f"{said}: {result.note}" if result.note else said


def _interval(result: Result) -> str:
    low, high = result.interval
    return f"{low:.3f} to {high:.3f}"


def _amount(value: float, kind: str) -> str:
    if kind == PEAKMEM:
        return f"{value / 1e6:.3g} MB"
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.3g} us"
