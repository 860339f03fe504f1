"""Slowdowns to be planted into a copy of the package, each of which the gate has to find."""

import re
from pathlib import Path

# A line that runs a kernel on the tasks from a first one to a last one.
_RUN = re.compile(r"^( *).*call_walk\(kernel, \((.*), ([^,()]+), ([^,()]+)\)\).*$", re.MULTILINE)


def slow_kernels(package: Path) -> None:
    """Each kernel does three tenths of its tasks twice; in the caches, that may cost less."""
    launch = package / "_cpu" / "launch.py"
    text, count = _RUN.subn(_again, launch.read_text())
    if count != 2:
        raise LookupError(
            f"{count} places in {launch.name} run a kernel, not one serial, one parallel"
        )
    launch.write_text(text)


def _again(run: re.Match) -> str:
    line, indent, operands, first, last = run.group(0, 1, 2, 3, 4)
    part = f"{first} + ({last} - ({first})) * 3 // 10"
    return f"{indent}call_walk(kernel, ({operands}, {first}, {part}))\n{line}"


def slow_wrapper(package: Path) -> None:
    """A call costs 3 us more."""
    _append(
        package,
        "from time import perf_counter_ns as _now",
        "_max_pool = max_pool",
        "def max_pool(*arguments, **options):",
        "    end = _now() + 3000",
        "    while _now() < end:",
        "        pass",
        "    return _max_pool(*arguments, **options)",
    )


def slow_import(package: Path) -> None:
    """The import takes 100 ms more."""
    _append(package, "import time as _time", "_time.sleep(0.1)")


def one_more_output(package: Path) -> None:
    """At its peak, the memory holds one more output."""
    _append(
        package,
        "_avg_pool = avg_pool",
        "def avg_pool(*arguments, **options):",
        "    result = _avg_pool(*arguments, **options)",
        "    result.copy()",
        "    return result",
    )


def _append(package: Path, *lines: str) -> None:
    with (package / "__init__.py").open("a") as file:
        file.write("\n".join(("", *lines, "")))


PLANTS = (slow_kernels, slow_wrapper, slow_import, one_more_output)
