"""A picture of all results: each case a dot, by its ratio to the best peer and to the floor."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import Result, geometric_mean

_OPERATORS = {"max": "tab:blue", "avg": "tab:orange", "lp": "tab:green"}
_GRID = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def draw(results: Sequence[Result], path: Path) -> None:
    """Write the picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    groups = list(dict.fromkeys(result.case.group for result in results))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(13, 1.6 + 0.85 * len(groups)), sharey=True, layout="constrained"
    )
    _panel(left, groups, [r for r in results if r.to_best], lambda r: r.to_best or 0.0)
    left.axvspan(1, left.get_xlim()[1], color="tab:red", alpha=0.07, linewidth=0)
    left.set_title("time / time of the best peer")
    _panel(right, groups, results, lambda r: r.to_floor)
    right.set_title("time / time of a copy of the same bytes (the floor)")
    left.set_yticks(range(len(groups)), groups)
    left.set_ylim(len(groups) - 0.4, -0.6)
    handles = [
        plt.Line2D([], [], marker=marker, color=color, linestyle="", label=label)
        for color, marker, label in _legend()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _legend() -> list[tuple[str, str, str]]:
    names = {"max": "max", "avg": "average", "lp": "Lp"}
    forward = [(color, "o", names[key]) for key, color in _OPERATORS.items()]
    backward = [(color, "x", f"{names[key]} backward") for key, color in _OPERATORS.items()]
    return [*forward, *backward, ("black", "|", "geometric mean")]


def _panel(
    axes: Any, groups: list[str], results: Sequence[Result], ratio: Callable[[Result], float]
) -> None:
    axes.set_xscale("log")
    for row, group in enumerate(groups):
        found = sorted((r for r in results if r.case.group == group), key=ratio)
        for i, result in enumerate(found):
            # Dots that lie close are spread, always in the same way.
            offset = 0.3 * ((i * 0.618034) % 1 * 2 - 1)
            axes.plot(
                ratio(result),
                row + offset,
                "x" if result.case.backward else "o",
                color=_OPERATORS[result.case.operator],
                markersize=5,
                alpha=0.8,
            )
        if found:
            mean = geometric_mean(ratio(result) for result in found)
            axes.plot([mean, mean], [row - 0.38, row + 0.38], color="black", linewidth=2)
            axes.annotate(f"{mean:.2f}", (mean, row - 0.38), ha="center", va="bottom", fontsize=8)
    low, high = axes.get_xlim()
    low, high = min(low, 0.5), max(high, 2)
    axes.set_xlim(low, high)
    axes.set_xticks([x for x in _GRID if low <= x <= high], minor=False)
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.axvline(1, color="black", linewidth=1)
    axes.grid(axis="x", alpha=0.3)
