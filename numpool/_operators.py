"""What pooling computes: every formula of every operator, once, as a plain function of scalars.

The kernels compile these functions into their loops, on the CPU and on a GPU, and the tests call
them as they are. A pooled value is made in three steps: `lift` turns an element into an
accumulator, an associative `combine` joins two accumulators, and `finish` turns the accumulator of
a window into its result.
"""

import math
from types import FunctionType, ModuleType

import numpy as np

from numpool import _powers
from numpool._powers import bits_of, from_bits, power


def bind(decorate, **own):
    """All functions of this module and of `_powers` decorated for a compiler, each calling the
    decorated others.

    A compiled function cannot call a plain Python function, hence the copies over a namespace of
    their own. `own` are a compiler's own functions, which take the place of those of their names.
    """
    namespace = {**vars(_powers), **globals()}
    bound = {}
    for name, function in namespace.items():
        if isinstance(function, FunctionType) and function is not bind:
            bound[name] = decorate(FunctionType(function.__code__, namespace, name))
    bound.update(own)
    namespace.update(bound)
    # A module, since that is the one kind of namespace that numba looks into.
    module = ModuleType("bound_operators")
    vars(module).update(bound)
    return module


# ---------------------------------------------------------------- combine


def larger(a, b):
    """The larger of two values; NaN wins. Written so that it becomes vector instructions: two
    compares, two selects.
    """
    m = a if a > b else b
    return m if a == a else a


def add(a, b):
    """The sum."""
    return a + b


def is_larger(a, b):
    """Whether b is larger than a: NaN is above every number, and equals NaN.

    Bitwise operators, since `and` and `or` would become branches.
    """
    return (b > a) | ((b != b) & (a == a))


def prefers_second(a, i, b, j):
    """Whether of (value a at position i) and (b at j) the second is the arg-max.

    The larger value wins, NaN above all; of equal ones that at the lower position.
    """
    tie = (a == b) | ((a != a) & (b != b))
    return is_larger(a, b) | (tie & (j < i))


# Value and code of an arg-max in one int64, whose larger one is the arg-max: the value's key above,
# the code below, counted down, so that of equal values the lower code wins. Codes of taps are below
# NO_TAP, and a shift of one past all taps is still below 2 ** 31.
NO_TAP = 2**30
_LOW = 0xFFFFFFFF
# What stands for no data: below every value.
NO_PACKED = -(2**63) + _LOW - NO_TAP


def sortable(bits):
    """The bits of a float32, as an int32 that is ordered as the float32 is; and back."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def pack(key, code):
    """The int32 `key` of a value, and its code, in one int64."""
    return (key << 32) | (_LOW - code)


def packed_key(packed):
    """The key in a packed int64."""
    return packed >> 32


def packed_code(packed):
    """The code in a packed int64."""
    return _LOW - (packed & _LOW)


def larger_packed(a, b):
    """The larger of two packed int64, which is the arg-max of both."""
    return a if a > b else b


# ---------------------------------------------------------------- Lp


def lift_lp(magnitude, raised, smallest):
    """|x| ** p, or |x| for p = inf: the magnitude as `_powers` raised it.

    Never 0 where x is not, but the type's `smallest` number: a sum of 0 is one of zeros, and not of
    powers that are too small.
    """
    return smallest if (raised == 0.0) & (magnitude != 0.0) else raised


def finish_lp(root):
    """The norm from the root of a sum as `_powers` took it, for p = inf from the largest magnitude:
    -inf, that of no taps, becomes 0.
    """
    return 0.0 if root < 0.0 else root


def ratio_power(a, b, exponent, correction):
    """(a / b) ** (exponent + correction) for a, b > 0, also where a / b underflows."""
    ratio = a / b
    if a == 0.0 or b == math.inf or not 0.0 <= ratio < 2.0**-960:
        return power(ratio, exponent, correction)
    # Scaled up once or twice, and never beyond 1: no factor may overflow where another underflows.
    scales = 1
    if a < 1.0:
        a *= 2.0**600
    else:
        b *= 2.0**-600
    if a / b < 2.0**-960:
        b *= 2.0**-600
        scales = 2
    result = power(a / b, exponent, correction)
    for _ in range(scales):
        result *= power(2.0**-600, exponent, correction)
    return result


def lift_lp_gradient(g, y, raised, exponent):
    """What an output sends to its taps, less the tap's factor: g / y ** (p - 1), 0 where y is 0.

    NaN where a power leaves the range in which products stay exact: then `lp_gradient` is taken tap
    by tap. `raised` is y to the exponent p - 1.
    """
    u = g / raised
    size = abs(u)
    exact = (g == 0.0) | ((size >= 2.0**-900) & (size <= 2.0**900))
    safe = (exponent == 0.0) | (exact & (y > 0.0) & is_safe(raised))
    u = u if safe else math.nan
    return 0.0 if y == 0.0 else u


def finish_lp_gradient(total, x, raised, exponent):
    """The gradient at x from the sum of `lift_lp_gradient` over its windows; NaN where it must be
    taken tap by tap. `raised` is |x| to the exponent p - 1.
    """
    safe = (exponent == 0.0) | is_safe(raised)
    result = total * raised * sign(x) if safe else math.nan
    return 0.0 if x == 0.0 else result


def is_safe(factor):
    """Whether a product of two such factors is exact to the last places."""
    return (factor >= 2.0**-500) & (factor <= 2.0**500)


def lp_gradient(g, x, y, exponent, correction, scale):
    """One tap's share of one output's gradient: g * sign(x) * (|x| / y) ** (p - 1).

    It is 0 where x or y is 0.
    With a scale, a negative y is one that `scaled_norm` has brought back into range.
    """
    if x == 0.0 or y == 0.0:
        return 0.0
    # In two halves, so that a factor out of range meets g on the way.
    exponent *= 0.5
    correction *= 0.5
    a = abs(x)
    unscale = 1.0
    if y < 0.0 < scale:
        y = -y
        if y < 1.0:
            a *= scale
        elif a >= 1.0:
            a /= scale
        else:
            unscale = power(1.0 / scale, exponent, correction)
    half = ratio_power(a, y, exponent, correction) * unscale
    return g * sign(x) * half * half


def scaled_norm(largest, total, root, inverse, correction, scale):
    """The norm of taps whose sum of (|x| / largest) ** p is `total`, and `root` the root of that.

    With a scale, a norm that is no normal number comes scaled up or down, and negative.
    """
    roots = 1
    if root == math.inf:  # for a small p: taken in four steps, of which largest makes up for some
        root = power(total, 0.25 * inverse, 0.25 * correction)
        roots = 4
    norm = scaled = largest
    for _ in range(roots):
        norm *= root
    if scale > 0.0 and (norm < 2.0**-800 or norm > 2.0**900):
        scaled = largest * scale if norm < 1.0 else largest / scale
        for _ in range(roots):
            scaled *= root
        return -scaled
    return norm


def toward(g, x):
    """g with the sign of x, 0 where x is 0: what the largest magnitude receives for p = inf.

    In g's type, which a product with a sign would widen.
    """
    # Of NaN, it is NaN.
    return g if x > 0.0 else (-g if x < 0.0 else x - x)


def sign(x):
    """-1, 0 or 1; NaN of NaN."""
    below = -1.0 if x < 0.0 else x
    return 1.0 if x > 0.0 else below


# ---------------------------------------------------------------- number formats


def from_half(bits):
    """The float32 of a float16's bits. Shifts and one product instead of a convert instruction that
    not every CPU has.
    """
    magnitude = (np.uint32(bits) & np.uint32(0x7FFF)) << np.uint32(13)
    negative = (np.uint32(bits) & np.uint32(0x8000)) << np.uint32(16)
    finite = single_bits(from_single_bits(magnitude) * np.float32(2.0**112))
    special = magnitude | np.uint32(0x7F800000)
    out = special if magnitude >= np.uint32(0x0F800000) else finite
    return from_single_bits(out | negative)


def single_bits(value):
    return np.float32(value).view(np.uint32)


def from_single_bits(bits):
    return np.uint32(bits).view(np.float32)


def rint(value):
    return np.rint(value)


def to_half(value):
    """The bits of the float16 nearest to a float64, ties to even: rounded once, subnormals
    included.
    """
    whole = bits_of(value)
    bits = whole & np.int64(0x7FFFFFFFFFFFFFFF)
    magnitude = from_bits(bits)
    # Round the mantissa to 10 bits, carry into the exponent, move the exponent's bias from 1023 to
    # 15.
    odd = (bits >> np.int64(42)) & np.int64(1)
    normal = ((bits + np.int64(0x1FFFFFFFFFF) + odd) >> np.int64(42)) - np.int64(1008 << 10)
    # The sum with 2**28 has units of 2**-24, as float16's subnormals.
    subnormal = bits_of(magnitude + 2.0**28) - bits_of(2.0**28)
    out = normal if magnitude >= 2.0**-14 else subnormal
    out = out if out < np.int64(0x7C00) else np.int64(0x7C00)
    out = out if magnitude == magnitude else np.int64(0x7E00)
    return np.uint16(out | (np.int64(0x8000) if whole < np.int64(0) else np.int64(0)))


def to_integer(value, lowest, highest, convert):
    """A float64 rounded half to even and saturated to [lowest, highest]; NaN gives 0.

    `convert` makes the result's type.
    As a float64 `highest` may be one too large, hence the comparison by >=.
    """
    rounded = rint(value)
    if rounded != rounded:
        return convert(0)
    if rounded <= lowest:
        return convert(lowest)
    if rounded >= highest:
        return convert(highest)
    return convert(rounded)


def to_small_integer(value, lowest, highest, convert):
    """`to_integer` for types of up to 32 bits, whose limits are floats: becomes vector
    instructions.
    """
    rounded = rint(value)
    rounded = rounded if rounded < highest else highest
    rounded = rounded if rounded > lowest else lowest
    return convert(rounded if value == value else 0.0)
