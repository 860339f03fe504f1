"""Measures numpool on a GPU beside its peers and a copy: `python -m benchmarks.gpu`.

Writes RESULTS-GPU.md and results-gpu.json into `benchmarks/`. Cases that are not chosen keep what
was measured of them before, as long as device and versions are the same. The peers are those that
are installed: PyTorch and CuPy, built for CUDA.
"""

import argparse
import sys
import time
from pathlib import Path

from benchmarks.cases import Case, select
from benchmarks.gpu import carriers, machine, tables
from benchmarks.gpu.measure import Events, measurable, measure
from benchmarks.gpu.peers import PEERS, usable
from benchmarks.machine import today
from benchmarks.measure import HOST, NUMPOOL
from benchmarks.results import Result, Results, known


def main() -> None:
    """Measure the chosen cases, and write all that is known."""
    options = _options()
    cases = chosen(options)
    if options.list:
        print(*(f"{case.group}: {case.name}" for case in cases), sep="\n")
        return
    options.out.mkdir(parents=True, exist_ok=True)
    data, page = options.out / "results-gpu.json", options.out / "RESULTS-GPU.md"
    if options.redraw:
        page.write_text(tables.markdown(Results.load(data)))
        return
    try:
        cuda = machine.find()
    except machine.NoDevice as error:
        sys.exit(f"python -m benchmarks.gpu: nothing is measured: {error}")
    peers = usable()
    missing = sorted({peer.name for peer in PEERS} - {peer.name for peer in peers})
    results = known(data, Results(machine.facts(cuda), machine.versions(), missing))
    there = [c for c in (carriers.TORCH, carriers.CUPY, carriers.NUMBA) if c.installed]
    start = time.monotonic()
    for number, case in enumerate(cases, 1):
        print(f"[{number}/{len(cases)}] {case.group}: {case.name}", end=" ", flush=True)
        measured = measure(case, peers, there, Events(cuda), options.rounds)
        results.cases[case.name] = Result(case, today(), options.rounds, measured)
        results.save(data)
        page.write_text(tables.markdown(results))
        print(_line(results.cases[case.name]), f"({time.monotonic() - start:.0f} s)", flush=True)


def chosen(options: argparse.Namespace) -> list[Case]:
    """The cases to measure."""
    found = select(options.only, options.quick and not options.only)
    return [case for case in found if measurable(case)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--only", metavar="REGEX", help='cases whose "group: name" matches')
    parser.add_argument("--quick", action="store_true", help="few cases")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each party (7)")
    parser.add_argument("--list", action="store_true", help="show the cases and measure nothing")
    parser.add_argument("--redraw", action="store_true", help="write the tables anew")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent.parent, help="where to write"
    )
    return parser.parse_args()


def _line(result: Result) -> str:
    text = f"{result.seconds(NUMPOOL) * 1e6:.3g} us, {1 / result.to_floor:.0%} of a copy's speed"
    text += f", host {result.seconds(HOST) * 1e6:.3g} us"
    if result.best:
        text += f", {result.to_best:.2f} of {result.best}"
    return text + "".join(f"; {error}" for error in result.measured.failed.values())


if __name__ == "__main__":
    main()
