"""The command line of the gate."""

import argparse
import math
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gate import checkout, instructions, tables
from benchmarks.gate.accepted import accepted, reason
from benchmarks.gate.comparison import (
    ACCEPTED,
    FAILED,
    NOT_REACHED,
    SLOWER,
    UNSURE,
    Result,
    Sides,
    compare,
    count_instructions,
    workers,
)
from benchmarks.gate.process import WorkerFailed
from benchmarks.gate.statistics import FALSE_ALARM

NO_REGRESSION, REGRESSION, NOT_MEASURED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare two commits; returns the exit code."""
    options = _options(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="gate-", ignore_cleanup_errors=True) as folder:
            return _gate(options, Path(folder))
    except (checkout.CannotCheckOut, WorkerFailed) as error:
        print(f"could not measure: {error}", file=sys.stderr)
        return NOT_MEASURED


def _gate(options: argparse.Namespace, folder: Path) -> int:
    if options.instructions and not instructions.available():
        raise checkout.CannotCheckOut("instructions need valgrind and setarch, on x86-64")
    base, head = checkout.resolve(options.base), checkout.resolve(options.head)
    kernels = (options.kernels or folder / "kernels").resolve()
    sides = checkout.sides(base, head, folder, kernels, options.isolated)
    benchmarks, facts = _begin(sides, options)
    if not benchmarks:
        print("could not measure: no benchmark has such a name", file=sys.stderr)
        return NOT_MEASURED
    print(*(f"{name}: {fact}" for name, fact in facts.items()), sep="\n", flush=True)
    results = compare(sides, benchmarks, options.threshold, options.limit, _say)
    if options.instructions:
        count_instructions(sides, results, _say)
    lines = accepted(checkout.messages(base, head))
    for result in results:
        why = reason(lines, result.name)
        if result.verdict == SLOWER and why:
            result.verdict, result.note = ACCEPTED, why
    print(f"\n{tables.text(results)}\n\n{tables.summary(results)}")
    for path, content in (
        (options.json, tables.plain(results, facts)),
        (options.markdown, tables.markdown(results, facts)),
    ):
        if path:
            path.write_text(content)
    return exit_code(results)


def _begin(sides: Sides, options: argparse.Namespace) -> tuple[list[dict[str, str]], dict]:
    """The benchmarks that are wanted, and what is measured on what."""
    facts = {"threshold": f"{options.threshold:g}, false alarms {FALSE_ALARM:.0%} at most"}
    with workers(sides) as pair:
        for side, worker in zip(sides, pair, strict=True):
            about = worker.ask("about")
            if not Path(about.pop("package")).resolve().is_relative_to(side.package.resolve()):
                raise WorkerFailed(f"{side.label} does not run its own numpool")
            versions = ", ".join(f"{name} {version}" for name, version in about.items())
            facts[side.label] = f"{side.commit[:10]}, {versions}"
        names = pair[1].ask("names", quick=options.quick)
    return [one for one in names if re.search(options.bench, one["name"])], facts


def _say(result: Result) -> None:
    print(tables.line(result), flush=True)


def exit_code(results: Sequence[Result]) -> int:
    """0: no regression; 1: a regression; 2: something could not be measured."""
    verdicts = {result.verdict for result in results}
    if SLOWER in verdicts:
        return REGRESSION
    return NOT_MEASURED if verdicts & {FAILED, UNSURE, NOT_REACHED} else NO_REGRESSION


def _threshold(text: str) -> float:
    value = float(text)
    if not 1 <= value < math.inf:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"no regular expression: {error}") from None
    return text


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gate",
        description="Tell whether HEAD is slower than BASE.",
        epilog="Exit codes: 0 no regression, 1 a regression, 2 something could not be measured.",
    )
    parser.add_argument("base", metavar="BASE", help="the commit to compare with")
    parser.add_argument("head", metavar="HEAD", help="the commit in question")
    parser.add_argument("--quick", action="store_true", help="a choice of the benchmarks")
    parser.add_argument(
        "--bench", metavar="REGEX", type=_regex, default="", help="benchmarks whose name matches"
    )
    parser.add_argument(
        "--threshold", type=_threshold, default=1.15, help="slower by this factor (1.15)"
    )
    parser.add_argument(
        "--limit",
        metavar="SECONDS",
        type=float,
        default=math.inf,
        help="begin no benchmark after so many seconds",
    )
    parser.add_argument(
        "--isolated", action="store_true", help="install each commit in an environment of its own"
    )
    parser.add_argument(
        "--kernels", metavar="DIR", type=Path, help="keep compiled kernels here, for the next run"
    )
    parser.add_argument(
        "--instructions",
        action="store_true",
        help="count the instructions of suspects too, by valgrind (a minute and more for each)",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all figures to a file")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write a summary to a file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
