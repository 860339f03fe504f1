"""The kernels of short windows, by name: see _cpu/short_windows.py."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numpool._cpu.rounding import ROUNDED_TAPS
from numpool._cpu.short_rows import DIVIDED_IF_FINITE, KEPT, ROOTS, ROUNDED, STEPS
from numpool._cpu.target import has_conversions
from numpool._plans import Rows


class Finish(NamedTuple):
    """How windows become results in registers, a name of short_rows.py, and the results' dtype."""

    name: str
    dtype: np.dtype

    @property
    def words(self) -> tuple[str, str]:
        """Its part in the name of a kernel."""
        return self.name, self.dtype.name


def kept(dtype: np.dtype) -> Finish:
    """Windows of accumulators of a dtype stay what they are."""
    return Finish(KEPT, dtype)


def along_rows(rows: Rows, finish: Finish, windows: str, step: int) -> tuple:
    """The kernel for windows of a kind, and columns so many elements apart."""
    columns = next(name for name, apart in STEPS.items() if apart == step)
    return ("short", *finish.words, windows, columns, _order_of(rows), *rows.lines)


def of_pixels(rows: Rows, finish: Finish, channels: int) -> tuple:
    """The kernel for pixels of so many channels."""
    return ("short_pixels", channels, *finish.words, *rows.lines)


def side_by_side(family: str, rows: Rows, finish: Finish) -> tuple:
    """The kernel of a family that has only such for columns that lie side by side."""
    return (family, *finish.words, _order_of(rows), *rows.lines)


def _order_of(rows: Rows) -> str:
    """The order of bytes in rows of the source, as a word in the name of a kernel."""
    return "swapped" if rows.swapped else "native"


def finish_of(dtype: np.dtype, rows: Rows, taps: int) -> Finish | None:
    """How windows of so many taps, of accumulators of a dtype, become results in registers, if they
    do.
    """
    if rows.store is None:
        return None
    family, *names = rows.store
    result = np.dtype(names[1])
    if family == "store" and _are_written(dtype, result):
        return Finish(KEPT, result)
    if family == "store_divided" and _are_written(dtype, result):
        return Finish(DIVIDED_IF_FINITE, result)
    if family == "store_average":
        _, _, quotient = names
        # A second pass has sums as its source, and other taps than the divisor.
        small = result.itemsize == 1 and result == rows.source and dtype.itemsize == 2
        if small and quotient == "float32" and taps <= ROUNDED_TAPS:
            return Finish(ROUNDED, result)
        if _are_written(np.dtype(quotient), result):
            return Finish(f"divided_in_{quotient}", result)
    if family == "store_root":
        _, _, computed, root = names
        if root in ROOTS and _are_written(np.dtype(computed), result):
            return Finish(root, result)
    return None


def _are_written(computed: np.dtype, result: np.dtype) -> bool:
    """Whether vectors of a dtype can be stored as results."""
    if result == computed:
        return True
    if result.char == "e":
        return computed.char == "f" and has_conversions()
    if computed.kind != "f":
        return False
    return result.itemsize <= (computed.itemsize if result.kind == "f" else 4)
