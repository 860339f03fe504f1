"""The codes that inputs are matched with windows by: integers as wide as gradients, so that as many
go together.
"""

from numba import types

from numpool._cpu.loops import itemsize_of
from numpool._cpu.rows import stored_type
from numpool._cpu.target import has_wide_vectors
from numpool._cpu.vector_loops import VECTOR_BYTES

# What names an input of a box, or a tap, is not negative. An input that is not there has this code
# or some less, and what is no window, or has an index that names nothing, one that no input has.
NO_INPUT = -1
NO_WINDOW = -(2**31)


def code_of(gradient):
    """The numba type of codes, by the name of a NumPy dtype."""
    return types.int64 if itemsize_of(stored_type(gradient)) == 8 else types.int32


def lanes_of(gradient):
    """How many windows go together."""
    # What is kept of wider ones fits no 16 registers: rows of 56 take 0.7 of the time so.
    size = VECTOR_BYTES if has_wide_vectors() else VECTOR_BYTES // 2
    return size // itemsize_of(code_of(gradient))
