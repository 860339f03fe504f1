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
def place_of(axis, output):
    """The place of an output: outputs of a place have the same taps."""
    if axis.period == 1:
        return output
    number, within = divmod(output + axis.origin, axis.period)
    return number * axis.phases + min(within // axis.wide, axis.phases - 1)


@inline
def output_of(axis, place):
    """The first output of a place."""
    if axis.period == 1:
        return place
    return place // axis.phases * axis.period + place % axis.phases * axis.wide - axis.origin


@function
def edge_taps(axis, place):
    """`taps_of` for any place."""
    start, count = place * axis.stride - axis.before, axis.kernel
    if axis.phases > 1:
        number, phase = divmod(place, axis.phases)
        within = tap = phase * axis.wide
        common = axis.period // axis.every
        if within % common:
            return 0, 0
        # The first tap of the forward window that is there, and how many are.
        if axis.mixed:
            tap = multiply_modulo(within // common % axis.every, axis.inverse, axis.every)
        count = max(-((tap - axis.taps) // axis.every), 0)
        start = number - (tap * axis.tap_step - within) // axis.period
        start += (axis.kernel - count) * axis.dilation - axis.before
    # Taps t with 0 <= start + t * dilation < length.
    lowest = max(-(start // axis.dilation), 0)
    highest = min(-((start - axis.length) // axis.dilation), count)
    return start + lowest * axis.dilation, max(highest - lowest, 0)


@inline
def taps_of(axis, place):
    """(first, count) of the taps that hold data of a place along an axis, `dilation` apart."""
    if axis.phases == 1 and axis.regular_first <= place < axis.regular_last:
        return place * axis.stride - axis.before, axis.kernel
    return edge_taps(axis, place)


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
