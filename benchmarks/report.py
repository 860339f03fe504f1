"""Measures numpool beside its peers and the floor: `python -m benchmarks.report`.

Writes RESULTS.md, RESULTS.png and results.json into `benchmarks/`. Cases that are not chosen keep
what was measured of them before, as long as machine and versions are the same.
"""

import argparse
import time
from pathlib import Path

from benchmarks import machine, plot, tables
from benchmarks.cases import select
from benchmarks.measure import NUMPOOL, measure
from benchmarks.peers import PEERS, installed
from benchmarks.results import Result, Results, known


def main() -> None:
    """Measure the chosen cases, and write all that is known."""
    options = _options()
    cases = select(options.only, options.quick and not options.only)
    if options.list:
        print(*(f"{case.group}: {case.name}" for case in cases), sep="\n")
        return
    options.out.mkdir(parents=True, exist_ok=True)
    data = options.out / "results.json"
    if options.redraw:
        _write(Results.load(data), options.out)
        return
    missing = [peer.name for peer in PEERS if not peer.version]
    new = Results(machine.machine(), machine.versions(installed()), missing)
    results = known(data, new)
    rounds = options.rounds or (3 if options.quick else 7)
    start = time.monotonic()
    for number, case in enumerate(cases, 1):
        print(f"[{number}/{len(cases)}] {case.group}: {case.name}", end=" ", flush=True)
        measured = measure(case, installed(), rounds)
        result = Result(case, machine.today(), rounds, measured)
        results.cases[case.name] = result
        results.save(data)
        print(_line(result), f"({time.monotonic() - start:.0f} s)", flush=True)
    _write(results, options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--only", metavar="REGEX", help='cases whose "group: name" matches')
    parser.add_argument("--quick", action="store_true", help="few rounds, and few cases by default")
    parser.add_argument("--rounds", type=int, help="turns of each party (7; with --quick 3)")
    parser.add_argument("--list", action="store_true", help="show the cases and measure nothing")
    parser.add_argument("--redraw", action="store_true", help="write tables and plot anew")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where to write")
    return parser.parse_args()


def _line(result: Result) -> str:
    text = f"{result.seconds(NUMPOOL) * 1e3:.3g} ms, {result.to_floor:.2f} of the floor"
    if result.best:
        text += f", {result.to_best:.2f} of {result.best}"
    return text + "".join(f"; {error}" for error in result.measured.failed.values())


def _write(results: Results, folder: Path) -> None:
    (folder / "RESULTS.md").write_text(tables.markdown(results))
    plot.draw(results.in_order(), folder / "RESULTS.png")


if __name__ == "__main__":
    main()
