"""Where the taps of a window lie, and what a window is averaged over: the geometry of kernels.

Outputs whose taps all hold data are a range, in which nothing is computed. At the edges it takes a
few divisions for each window: tables of the edges cost more time and memory than that where padding
is wide or strides are large.
"""

from numpool._cpu.memory import function, inline


@function
def multiply_modulo(a, b, modulus):
    """a * b % modulus for 0 <= a, b < modulus < 2**62, without overflow."""
    if modulus < 2**31:
        return a * b % modulus
    product = 0
    while b > 0:
        if b % 2:
            product = (product + a) % modulus
        a = (a + a) % modulus
        b //= 2
    return product


@function
def edge_taps(axis, output):
    """`taps_of` for any output."""
    # Taps t with 0 <= start + t * dilation < length.
    start = output * axis.stride - axis.before
    lowest = max(-(start // axis.dilation), 0)
    highest = min(-((start - axis.length) // axis.dilation), axis.kernel)
    if axis.spacing > 1:
        # Of these, the ones at multiples of spacing: if there are any, every period-th.
        if start % axis.common:
            return 0, 0
        residue = -(start // axis.common) % axis.period
        residue = multiply_modulo(residue, axis.inverse, axis.period)
        lowest += (residue - lowest) % axis.period
    count = max(-((lowest - highest) // axis.period), 0)
    return (start + lowest * axis.dilation) // axis.spacing, count


@inline
def taps_of(axis, output):
    """(first, count) of the taps that hold data of an output along an axis, `axis.step` apart."""
    if axis.regular_first <= output < axis.regular_last:
        return output * axis.stride - axis.before, axis.kernel
    return edge_taps(axis, output)


@function
def edge_divisor(window, output):
    """`divisor_of` for any output."""
    start = output * window.stride - window.before
    if window.count_include_pad:
        end, lowest = window.length + window.after, 0
    else:
        end, lowest = window.length, max(-(start // window.dilation), 0)
    taps = min(-((start - end) // window.dilation), window.kernel) - lowest
    return float(max(taps, 1))


@inline
def divisor_of(window, output):
    """The share of an axis in the divisor of an output of the forward pass."""
    if window.divided_first <= output < window.divided_last:
        return window.divisor
    return edge_divisor(window, output)


@inline
def divisor_of_row(plan, depth, row):
    """The share of depth and rows in the divisors of a row."""
    return divisor_of(plan.depth_window, depth) * divisor_of(plan.row_window, row)
