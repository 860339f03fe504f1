"""What docs/gpu.md shows, in the simulator or on a device."""

import re
from pathlib import Path

import kinds


def test_the_example_runs(kind):
    page = Path(__file__).parents[2] / "docs" / "gpu.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    if kind.name in (kinds.NUMBA.name, kinds.SIMULATOR.name):
        if kind is kinds.SIMULATOR:  # a thread of Python's for each output
            example = example.replace("(8, 3, 64, 64)", "(1, 2, 8, 8)")
        exec(compile(example, str(page), "exec"), {})
