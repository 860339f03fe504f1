"""Kernels ahead of time: for the device at hand, and all of them as PTX without a device."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

from numba import cuda, types
from numba.core.typing.typeof import typeof
from numba.cuda import dispatcher

from numpool._cuda import library, tables
from numpool._cuda.plan import Numbers, as_arguments, plan_walk
from numpool._views import canonical
from numpool._windows import Windows

_ENTRY = re.compile(r"\.entry (\w+)")

# The family, the arguments, and whether it counts in 64 bits.
Kernel = tuple[str, tuple, bool]


def every_kernel() -> Iterator[Kernel]:
    """All kernels that calls may use."""
    for name, family in library.FAMILIES.items():
        for arguments in family.all():
            yield name, arguments, False
            if not library.is_narrow(name):
                yield name, arguments, True


def _signature(kernel: Kernel) -> tuple[Any, ...]:
    wide = kernel[2]
    strides = ((1,), None, (1,), None)
    view = canonical(Windows((), (), (1,)), (1,), strides, 0, keep_axes=False)
    table_of = functools.partial(tables.forward, include_pad=None)
    walk = plan_walk(view, table_of, False, (None,) * 4, None).walk
    arrays = [getattr(types, d.name)[::1] for d in library.operands_of(*kernel)]
    return (*arrays, *(typeof(as_arguments(value, wide)) for value in (walk, Numbers())))


def compile_kernel(kernel: Kernel, cc: tuple[int, int]) -> str:
    """The PTX of a kernel."""
    # Numba asks the device for what device functions are to be compiled for; there is none.
    fake = SimpleNamespace(compute_capability=cc)
    with mock.patch.object(dispatcher, "get_current_device", lambda: fake):
        ptx, _ = cuda.compile_ptx(library.function_of(*kernel), _signature(kernel), cc=cc)
    # Numba's name spells out the types of all arguments.
    found = _ENTRY.search(ptx)
    assert found is not None
    return ptx.replace(found[1], library.name_of(*kernel))


def _usual(operators: Iterable[str], dtypes: Iterable[str]) -> list[Kernel]:
    """The kernels of some operators that read some dtypes, but for arrays of any size."""
    return [
        kernel
        for kernel in every_kernel()
        if not kernel[2] and kernel[0].split("_")[0] in operators and str(kernel[1][0]) in dtypes
    ]


def warm_count(operators: Iterable[str], dtypes: Iterable[str]) -> int:
    """How many kernels `warm` goes through."""
    return len(_usual(operators, dtypes))


def warm(operators: Iterable[str], dtypes: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Compile the kernels of some operators and dtypes for the current device, or load them from
    disk: yields each name and its seconds.
    """
    for kernel in _usual(operators, dtypes):
        start = time.perf_counter()
        library.kernel(*kernel).compile(_signature(kernel))
        yield library.name_of(*kernel), time.perf_counter() - start


def compile_all(cc: tuple[int, int] = (9, 0)) -> dict[str, str]:
    """The PTX of all kernels, by name."""
    return {library.name_of(*kernel): compile_kernel(kernel, cc) for kernel in every_kernel()}
