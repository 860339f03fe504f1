"""All kernels as PTX and as machine code: what they must not hold, and what they may cost."""

import functools
import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import kinds
import pytest

from numpool._cuda import library

if kinds.SIMULATED:
    pytest.skip("the simulator compiles nothing", allow_module_level=True)

from numpool._cuda import compile_all, compiling

KERNELS = {library.name_of(*kernel): kernel for kernel in compiling.every_kernel()}
# Of each family, what arrays of float32 take.
SAMPLE = [
    name
    for name in KERNELS
    if "float32" in name and not re.search("float16|float64|wide|signed|magnitude|int64", name)
]
REGISTERS = {"lp": 100, "max": 48, "avg": 64}
WIDE_REGISTERS = {"lp": 128, "max": 80, "avg": 80}
# Of devices other than 9.0, which are not what kernels are made for.
OTHER_REGISTERS = {"lp": 100, "max": 72, "avg": 72}
VECTOR = r"(v2\.[fub]64|v4\.[fub]32)"
# Instructions of PTX for a tap in the innermost loop.
PER_TAP = {
    "max_forward_float16": 11,
    "max_forward_float32": 10,
    "max_forward_indices_float32_uint8": 22,
    "max_backward_float32_uint8_float32": 20,
    "avg_forward_float16_float32_float16": 8,
    "avg_forward_float32_float32_float32": 8,
    "avg_backward_float32_float32": 8,
    "lp_forward_float32_float32_square": 14,
}


def ptxas():
    """The assembler of the package nvidia-cuda-nvcc, or one on the path."""
    found = sorted(Path(sysconfig.get_path("purelib")).glob("nvidia/*/bin/ptxas"))
    path = found[-1] if found else shutil.which("ptxas")
    if path is None:
        assert not os.environ.get("NUMPOOL_REQUIRE_PTXAS"), "ptxas is not installed"
        pytest.skip("needs ptxas: the package nvidia-cuda-nvcc")
    return path


@functools.cache
def ptx_of(name, cc=(9, 0)):
    """The PTX of a kernel."""
    return compiling.compile_kernel(KERNELS[name], cc)


def assembled(ptx, cc, folder):
    """What ptxas has to say of a kernel."""
    source = folder / "kernel.ptx"
    source.write_text(ptx)
    command = [ptxas(), "-v", f"-arch=sm_{cc[0]}{cc[1]}", source, "-o", folder / "kernel.cubin"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def innermost_loops(ptx):
    """The instructions of each loop that holds no other."""
    lines = [line.strip() for line in ptx.splitlines()]
    labels = {line[:-1]: i for i, line in enumerate(lines) if re.fullmatch(r"\$L\w+:", line)}
    loops = []
    for i, line in enumerate(lines):
        jump = re.search(r"\bbra(?:\.uni)?\s+(\$L\w+);", line)
        if jump and labels[jump[1]] < i:
            loops.append((labels[jump[1]], i))
    for first, last in loops:
        if not any(first <= a and b <= last for a, b in loops if (a, b) != (first, last)):
            body = lines[first : last + 1]
            yield [line for line in body if line.endswith(";") and not line.startswith(".")]


def checked(name, cc, folder):
    """Compile a kernel, and look it over; gives its PTX."""
    ptx = ptx_of(name, cc)
    assert f".entry {name}(" in ptx
    assert ".local" not in ptx
    assert not re.search(r"\bcall\b|\batom\b|\bred\b", ptx)
    if not name.endswith("_wide"):
        assert not re.search(r"\b(div|rem)\.[su](32|64)", ptx)
    report = assembled(ptx, cc, folder)
    assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in report, report
    registers = int(re.search(r"Used (\d+) registers", report)[1])
    allowed = REGISTERS if cc == (9, 0) else OTHER_REGISTERS
    if name.endswith("_wide"):
        allowed = WIDE_REGISTERS
    assert registers <= allowed[name.split("_")[0]]
    if "vectors" in name or "lines" in name:  # of 128 bits
        assert re.search(rf"ld\.global\.{VECTOR}", ptx)
        assert re.search(rf"st\.global\.{VECTOR}", ptx)
    return ptx


@pytest.mark.parametrize("name", KERNELS)
def test_kernels(name, tmp_path):
    checked(name, (9, 0), tmp_path)


@pytest.mark.parametrize("cc", [(7, 5), (8, 0), (10, 0)], ids=str)
@pytest.mark.parametrize("name", SAMPLE)
def test_sample_on_other_devices(name, cc, tmp_path):
    checked(name, cc, tmp_path)


@pytest.mark.parametrize("name", PER_TAP)
def test_instructions_for_a_tap(name):
    loop = list(innermost_loops(ptx_of(name)))[-1]
    taps = sum("ld.global" in line for line in loop) // (2 if "max_backward" in name else 1)
    assert taps > 0
    assert len(loop) / taps <= PER_TAP[name]


@pytest.mark.parametrize("name", [name for name in KERNELS if "forward_strips_float32" in name])
def test_instructions_for_an_output(name):
    """Strips read each row of taps once, and do little besides: their loops write."""
    size, stride = map(int, name.split("_")[-2:])
    loops = list(innermost_loops(ptx_of(name)))
    outputs = [sum("st.global" in line for line in loop) for loop in loops]
    loop, count = max(zip(loops, outputs, strict=True), key=lambda pair: pair[1])
    assert sum("ld.global" in line for line in loop) == count * size * min(size, stride)
    # A maximum that keeps NaN takes four instructions, a sum one.
    base, tap = (20, 8) if name.startswith("max") else (16, 6)
    assert len(loop) / count <= base + tap * size * min(size, stride)


# Of PTX for an output, of a maximum and of an average.
LINES = {"2_2_2_0": (18, 13), "3_3_1_1": (24, 13), "3_3_2_1": (33, 20), "3_3_2_0": (33, 20)}


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("op", ["max", "avg"])
def test_lines_take_fewer_instructions_than_strips(op, line):
    (name,) = (name for name in KERNELS if re.match(f"{op}_forward_lines_float32.*{line}$", name))
    loops = list(innermost_loops(ptx_of(name)))
    (loop,) = (loop for loop in loops if any("st.global.v4" in line for line in loop))
    outputs = 4 * sum("st.global.v4" in line for line in loop)
    assert len(loop) / outputs <= LINES[line][op == "avg"]
    # Each row that is new to a window, in vectors and what is beside them.
    _, taps, stride, before = map(int, line.split("_"))
    vectors, others = stride * stride, stride * (before + max(taps - before - stride, 0))
    assert sum("ld.global.v4" in line for line in loop) == vectors * outputs / 4
    assert sum("ld." in line for line in loop) == (vectors + others) * outputs / 4


def test_compile_all_names_what_it_compiles(monkeypatch):
    few = ("max_indices", "lp_backward_passed")
    monkeypatch.setattr(library, "FAMILIES", {n: library.FAMILIES[n] for n in few})
    compiled = compile_all()
    assert compiled.keys() == {name for name in KERNELS if name.startswith(few)}
    assert all(".target sm_90" in ptx for ptx in compiled.values())
