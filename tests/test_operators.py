"""The formulas of numpool/_operators.py, called as plain Python functions of scalars."""

import itertools
import math
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import reduce

import numpy as np
import oracle
import pytest
from exact import double, exact_power, in_two_parts, representable, units

from numpool import _operators as operators
from numpool import _powers as powers

INF, NAN = math.inf, math.nan
SPECIAL = (NAN, -INF, -1.5, -0.0, 0.0, 5e-324, 1.5, INF)
POWERS = (0.3, 0.5, 1.1, 1.5, 2.5, 3.0, 7.0, 100.0)
MAGNITUDES = (5e-324, 3e-310, 1.7e-300, 1e-30, 0.1, 0.999, 1.0, 1.3, 42.0, 1e15, 1e300)
DOUBLES = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def silent():
    """Scalars of NumPy behave as those of kernels do, but for their warnings."""
    with np.errstate(all="ignore"):
        yield


def same(a, b):
    """Equal, one NaN being as good as another."""
    return bool(a == b or (a != a and b != b))


def raised(x, exact):
    """x to the power of a Fraction, by the function a kernel takes for it."""
    return getattr(powers, powers.FORMS.get(exact, "power"))(x, *in_two_parts(exact))


def lifted(x, p):
    """What a tap adds to its window's sum."""
    magnitude = abs(double(x))
    power = magnitude if p == INF else raised(magnitude, Fraction(p))
    return operators.lift_lp(magnitude, power, 5e-324)


def norm(total, p):
    """The result of a window from its sum."""
    total = double(total)
    return operators.finish_lp(total if p == INF else raised(total, 1 / Fraction(p)))


def lifted_gradient(g, y, p):
    """What an output adds to the sums of its taps."""
    exponent = Fraction(p) - 1
    return operators.lift_lp_gradient(
        double(g), double(y), raised(double(y), exponent), float(exponent)
    )


def finished_gradient(total, x, p):
    """The gradient of an element from its sum."""
    exponent = Fraction(p) - 1
    factor = raised(abs(double(x)), exponent)
    return operators.finish_lp_gradient(double(total), double(x), factor, float(exponent))


# ---------------------------------------------------------------------------------------------
# Combining
# ---------------------------------------------------------------------------------------------


def test_larger():
    for a, b in itertools.product(SPECIAL, repeat=2):
        assert same(operators.larger(a, b), np.maximum(a, b)), (a, b)
    for dtype in (np.int8, np.uint8, np.int64, np.uint64):
        info = np.iinfo(dtype)
        for a, b in itertools.product(map(dtype, (info.min, 3, info.max)), repeat=2):
            assert operators.larger(a, b) == max(a, b)


def test_add():
    assert operators.add(double(1e16), double(1.0)) == 1e16
    assert math.isnan(operators.add(INF, -INF))


def first_largest(values, order):
    """The index that `prefers_second` leaves of some values, combined in the given order."""
    best = order[0]
    for i in order[1:]:
        if operators.prefers_second(values[best], best, values[i], i):
            best = i
    return best


def test_prefers_second_finds_the_first_largest_in_any_order():
    for values in itertools.product((NAN, -INF, -0.0, 0.0, 2.0), repeat=3):
        for order in itertools.permutations(range(3)):
            assert first_largest(values, order) == np.argmax(values), (values, order)
    for values in itertools.product((np.int8(-128), np.int8(0), np.int8(127)), repeat=3):
        for order in itertools.permutations(range(3)):
            assert first_largest(values, order) == np.argmax(values), (values, order)


def test_prefers_second_keeps_the_identity_for_no_data():
    nowhere = 2**63 - 1
    for value in SPECIAL:
        assert operators.prefers_second(-INF, nowhere, value, 7)
        assert not operators.prefers_second(value, 7, -INF, nowhere)


def float_bits(value):
    return int(np.float32(value).view(np.int32))


def test_sortable_bits_are_ordered_as_the_values_and_turn_back():
    values = [-INF, -3e38, -1.5, -1e-45, 0.0, 1e-45, 1.5, 3e38, INF]
    keys = [operators.sortable(float_bits(value)) for value in values]
    assert keys == sorted(keys)
    assert [operators.sortable(key) for key in keys] == [float_bits(value) for value in values]


def test_packed_values_find_the_first_largest_in_any_order():
    keys = (-(2**31), -1, 0, 2**31 - 1)
    for values in itertools.product(keys, repeat=3):
        for order in itertools.permutations(range(3)):
            best = operators.NO_PACKED
            for i in order:
                best = operators.larger_packed(best, operators.pack(values[i], i))
            assert operators.packed_code(best) == np.argmax(values), (values, order)
            assert operators.packed_key(best) == max(values)


def test_packed_codes_shift_and_stand_above_no_data():
    last = operators.NO_TAP - 1
    for key, code in itertools.product((-(2**31), 0, 2**31 - 1), (0, 5, last)):
        packed = operators.pack(key, code)
        assert -(2**63) <= packed < 2**63
        assert operators.packed_code(packed - 7) == code + 7
        assert operators.packed_key(packed - 7) == key
        assert operators.larger_packed(packed, operators.NO_PACKED) == packed
        assert operators.packed_code(operators.NO_PACKED - code) >= operators.NO_TAP


def test_sign():
    for value in SPECIAL:
        assert same(operators.sign(value), np.sign(value))


# ---------------------------------------------------------------------------------------------
# Powers
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1.0, 2.0, *POWERS])
def test_lift_lp(p):
    for x in (*MAGNITUDES, *(-m for m in MAGNITUDES)):
        expected = exact_power(abs(x), Fraction(p))
        if representable(expected):
            assert units(lifted(x, p), expected) < 2, x
    # Too small for a float64, and yet no zero.
    assert 0 < lifted(5e-324, p) < 1
    assert lifted(-0.0, p) == 0
    assert lifted(-INF, p) == INF
    assert math.isnan(lifted(NAN, p))


@pytest.mark.parametrize("p", [1.0, 2.0, *POWERS])
def test_finish_lp(p):
    for total in MAGNITUDES:
        expected = exact_power(total, 1 / Fraction(p))
        # Subnormal sums are taken again from scaled taps.
        if total >= 2.0**-1022 and representable(expected):
            assert units(norm(total, p), expected) < 2, total
    assert norm(0.0, p) == 0
    assert norm(INF, p) == INF
    assert math.isnan(norm(NAN, p))


def test_lp_of_infinite_order():
    for x in SPECIAL:
        assert same(lifted(x, INF), abs(x))
        assert same(norm(abs(x), INF), abs(x))
    # -inf is what `larger` starts from: a window without data.
    assert norm(-INF, INF) == 0


@pytest.mark.parametrize("p", POWERS)
def test_ratio_power_near_underflow(p):
    exact = Fraction(p) - 1
    exponent, correction = in_two_parts(exact)
    extremes = (5e-324, 3e-310, 1e-300, 1e-160, 0.5, 1.0, 3.0, 1e160, 1e300, 1.7e308)
    checked = 0
    for a, b in itertools.product(extremes, repeat=2):
        with localcontext(Context(prec=60)):
            ratio = Decimal(a) / Decimal(b)
            if ratio > 2:  # a tap is no larger than its norm, up to rounding
                continue
            power = Decimal(exact.numerator) / Decimal(exact.denominator)
            expected = ratio**power
        if representable(expected):
            checked += 1
            got = operators.ratio_power(double(a), double(b), exponent, correction)
            assert units(got, expected) < 6 + p, (a, b)
    assert checked > 9


def test_ratio_power_of_special_values():
    assert operators.ratio_power(double(1.0), double(INF), 0.5, 0.0) == 0
    assert operators.ratio_power(double(1.0), double(INF), -0.5, 0.0) == INF
    assert math.isnan(operators.ratio_power(double(NAN), double(1.0), 0.5, 0.0))
    assert math.isnan(operators.ratio_power(double(1.0), double(NAN), 0.5, 0.0))
    # Both scales, and a result that does underflow.
    assert operators.ratio_power(double(1e-300), double(1e300), 3.0, 0.0) == 0


def test_toward():
    for g, x in itertools.product(SPECIAL, repeat=2):
        assert same(operators.toward(g, x), 0.0 if x == 0 else g * np.sign(x)), (g, x)


# ---------------------------------------------------------------------------------------------
# The gradient of the Lp norm
# ---------------------------------------------------------------------------------------------


def exact_gradient(g, x, y, p):
    """g * sign(x) * (|x| / y) ** (p - 1) to 60 digits; y is a float or a Decimal."""
    with localcontext(Context(prec=60)):
        exponent = Decimal(float(p)) - 1
        share = (abs(Decimal(x)) / Decimal(y)) ** exponent
        return Decimal(g) * (1 if x > 0 else -1) * share


NORMS = [
    # g, x, y
    (1.5, 0.3, 0.7),
    (-2.0, -1e-3, 4.0),
    (3.0, 1e-200, 1e-190),
    (1e200, -1e-160, 1e-10),
    (1e-300, 1e300, 1.5e300),
    (1e308, 1e-310, 2e-310),
    (-1e-5, 7.0, 7.0),
]


@pytest.mark.parametrize("p", POWERS)
def test_lp_gradient(p):
    exponent, correction = in_two_parts(Fraction(p) - 1)
    checked = 0
    for g, x, y in NORMS:
        expected = exact_gradient(g, x, y, p)
        if representable(abs(expected)):
            checked += 1
            for scale in (0.0, 2.0**200):
                got = operators.lp_gradient(
                    double(g), double(x), double(y), exponent, correction, scale
                )
                assert units(got, expected) < 6 + p, (g, x, y)
    assert checked > 1


@pytest.mark.parametrize("p", [1.0, *POWERS])
def test_lp_gradient_in_two_steps(p):
    """Lifted, summed and finished it is the gradient taken at once, or NaN to ask for that."""
    asked = 0
    for g, x, y in NORMS:
        got = finished_gradient(lifted_gradient(g, y, p), x, p)
        if math.isnan(got):
            asked += 1
        else:
            assert units(got, exact_gradient(g, x, y, p)) < 6 + p, (g, x, y)
    assert asked < len(NORMS) - 1
    assert asked == 0 or p != 1.0


def test_gradients_of_zeros():
    for p in (1.0, 1.5, 2.0):
        exponent, correction = in_two_parts(Fraction(p) - 1)
        for g in (1.0, INF, NAN):
            assert lifted_gradient(g, 0.0, p) == 0
            assert finished_gradient(g, 0.0, p) == 0
            assert operators.lp_gradient(g, 0.0, 1.0, exponent, correction, 0.0) == 0
            assert operators.lp_gradient(g, 1.0, 0.0, exponent, correction, 0.0) == 0


def test_gradients_of_special_values():
    assert math.isnan(lifted_gradient(1.0, NAN, 2.0))
    assert math.isnan(lifted_gradient(1.0, -1.0, 2.0))
    assert math.isnan(lifted_gradient(1.0, -1.0, 3.0))
    assert math.isnan(lifted_gradient(1.0, 1e-200, 3.0))
    assert math.isnan(lifted_gradient(NAN, 1.0, 3.0))
    assert math.isnan(lifted_gradient(INF, 1.0, 3.0))
    assert lifted_gradient(0.0, 2.0, 3.0) == 0
    assert lifted_gradient(3.0, 7.0, 1.0) == 3
    assert finished_gradient(3.0, -7.0, 1.0) == -3
    assert math.isnan(finished_gradient(3.0, 1e-200, 3.0))
    assert finished_gradient(3.0, -2.0, 3.0) == -12
    gradient = operators.lp_gradient
    assert math.isnan(gradient(double(1.0), double(NAN), double(1.0), 1.0, 0.0, 0.0))
    assert math.isnan(gradient(double(NAN), double(1.0), double(1.0), 1.0, 0.0, 0.0))
    assert gradient(double(INF), double(-1.0), double(2.0), 1.0, 0.0, 0.0) == -INF


def test_scaled_norm():
    scale = 2.0**200
    cases = [(1e-320, 1.7), (3e-245, 2.0), (1e-200, 1.1), (1.0, 3.0), (1e270, 1.9), (1e308, 5.0)]
    for largest, root in cases:
        total = (double(root), root, 1.0, 0.0)  # for p = 1 the root of the total is the total
        assert operators.scaled_norm(double(largest), *total, 0.0) == double(largest) * root
        got = operators.scaled_norm(double(largest), *total, scale)
        with localcontext(Context(prec=60)):
            exact = Decimal(largest) * Decimal(root)
            if got < 0:
                factor = Decimal(scale) if got > -1 else 1 / Decimal(scale)
                assert units(-got, exact * factor) <= 1
                # The gradient undoes the scale, for taps of any size.
                for x in (largest * 0.75, -largest * 2.0**-40, 0.3, 7.0):
                    expected = exact_gradient(2.0, x, exact, 1.25)
                    if abs(x) <= exact and representable(abs(expected)):
                        gradient = operators.lp_gradient(
                            double(2.0), double(x), got, 0.25, 0.0, scale
                        )
                        assert units(gradient, expected) < 6, (largest, x)
            else:
                assert units(got, exact) <= 1
        normal = Decimal(2) ** -800 <= exact <= Decimal(2) ** 900
        assert (got > 0) == normal
    # The root alone is too large for a float64: 3 ** 1000.
    got = operators.scaled_norm(double(5e-324), double(3.0), INF, 1000.0, 0.0, 0.0)
    with localcontext(Context(prec=60)):
        exact = Decimal(2) ** -1074 * Decimal(3) ** 1000
        assert units(got, exact) < 1000 * math.log(3)


# ---------------------------------------------------------------------------------------------
# Number formats
# ---------------------------------------------------------------------------------------------


def test_from_half_of_every_pattern():
    patterns = np.arange(65536, dtype=np.uint16)
    got = np.array([operators.from_half(bits) for bits in patterns])
    expected = patterns.view(np.float16).astype(np.float32)
    assert got.dtype == np.float32
    nan = np.isnan(expected)
    assert np.array_equal(np.isnan(got), nan)
    assert np.array_equal(got[~nan].view(np.uint32), expected[~nan].view(np.uint32))


def halves(values):
    return np.array([operators.to_half(value) for value in values])


def test_to_half_of_every_half():
    patterns = np.arange(65536, dtype=np.uint16)
    values = patterns.view(np.float16).astype(np.float64)
    nan = np.isnan(values)
    got = halves(values)
    assert got.dtype == np.uint16
    assert np.array_equal(got[~nan], patterns[~nan])
    assert np.isnan(got[nan].view(np.float16)).all()


def test_to_half_around_every_tie():
    below = np.arange(0x7C00, dtype=np.uint16)  # 0 to the largest finite half
    low = below.view(np.float16).astype(np.float64)
    # Past the largest finite half the next would be 65536: from the tie on it becomes infinity.
    high = np.append(low[1:], 65536.0)
    ties = (low + high) / 2
    even = below + (below & 1)
    assert np.array_equal(halves(ties), even)
    assert np.array_equal(halves(np.nextafter(ties, 0)), below)
    assert np.array_equal(halves(np.nextafter(ties, INF)), below + 1)
    assert np.array_equal(halves(-ties), even | 0x8000)
    assert np.array_equal(halves(-np.nextafter(ties, INF)), (below + 1) | 0x8000)


def test_to_half_of_any_double():
    values = [0.0, -0.0, 5e-324, -1e-310, 2.0**-25, 65519.99, 65520.0, 1e300, INF, -INF]
    values += list(DOUBLES.standard_normal(2000) * 2.0 ** DOUBLES.integers(-30, 20, 2000))
    values = np.array(values)
    assert np.array_equal(halves(values), values.astype(np.float16).view(np.uint16))
    signalling = np.array([0x7FF0000000000001, 0xFFF8000000000001], np.uint64).view(np.float64)
    assert np.isnan(halves(signalling).view(np.float16)).all()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_to_integer(dtype):
    info = np.iinfo(dtype)
    lowest, highest = int(info.min), int(info.max)
    edges = [0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 0.49999999999999994, 1e300, -1e300, INF, -INF]
    for edge in (lowest, highest):
        edges += [edge + step for step in (-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5)]
        edges += [np.nextafter(float(edge), 0), np.nextafter(float(edge), 2.0 * edge)]
    for value in map(double, edges):
        # Python's own round() is exact and goes to the even neighbour.
        whole = value if math.isinf(value) else round(float(value))
        expected = min(max(whole, lowest), highest)
        got = operators.to_integer(value, lowest, highest, dtype)
        assert type(got) is dtype and int(got) == expected, value
        if info.bits <= 32:
            got = operators.to_small_integer(value, double(lowest), double(highest), dtype)
            assert type(got) is dtype and int(got) == expected, value
    assert operators.to_integer(double(NAN), lowest, highest, dtype) == 0
    assert operators.to_small_integer(double(NAN), double(lowest), double(highest), dtype) == 0


# ---------------------------------------------------------------------------------------------
# Together
# ---------------------------------------------------------------------------------------------

LINE = np.array([0.5, -2.0, 3.0, 3.0, -7.5, 0.0, 1e-3, 4.0, -4.0, 2.5, 0.0, 0.0, 6.0])


def windows(x, kernel, stride):
    return [x[i : i + kernel] for i in range(0, len(x) - kernel + 1, stride)]


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (2, 2), (3, 1), (5, 3), (13, 1)])
def test_a_pooling_made_of_the_formulas(kernel, stride):
    taps = windows(LINE, kernel, stride)
    values, positions, _ = oracle.max_pool(LINE, kernel, stride)
    oracle.assert_same("max", np.array([reduce(operators.larger, w) for w in taps]), values)
    found = [first_largest(LINE, range(i * stride, i * stride + kernel)) for i in range(len(taps))]
    oracle.assert_same("positions", np.array(found), positions)

    averages = np.array([reduce(operators.add, w) / kernel for w in taps])
    oracle.assert_avg(averages, oracle.avg_pool(LINE, kernel, stride), LINE.dtype)

    for p in (1.0, 2.0, 3.0, 2.5, 0.7, INF):
        combine = operators.larger if p == INF else operators.add
        totals = [reduce(combine, [lifted(v, p) for v in w]) for w in taps]
        norms = np.array([norm(t, p) for t in totals])
        oracle.assert_lp(norms, oracle.lp_pool(LINE, kernel, stride, p=p), LINE.dtype, p)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, 40.0])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 1), (5, 3)])
def test_a_gradient_made_of_the_formulas(p, kernel, stride):
    y = oracle.lp_pool(LINE, kernel, stride, p=p).value.astype(np.float64)
    grad = DOUBLES.standard_normal(y.shape)
    expected = oracle.lp_pool_backward(grad, LINE, kernel, stride, p=p, y=y)
    exponent, correction = in_two_parts(Fraction(p) - 1)
    at_once, summed = np.zeros_like(LINE), np.zeros_like(LINE)
    for i, (g, root) in enumerate(zip(grad, y, strict=True)):
        for at in range(i * stride, i * stride + kernel):
            at_once[at] += operators.lp_gradient(g, LINE[at], root, exponent, correction, 0.0)
            summed[at] += lifted_gradient(g, root, p)
    oracle.assert_backward(at_once, expected, grad.dtype, p)
    finished = [finished_gradient(t, x, p) for t, x in zip(summed, LINE, strict=True)]
    finished = np.where(np.isnan(finished), at_once, finished)
    oracle.assert_backward(finished, expected, grad.dtype, p)


def test_bound_functions_call_each_other():
    """What a compiler decorates calls the decorated others, never the plain functions."""
    called = []

    def decorate(function):
        def wrapper(*args):
            called.append(function.__name__)
            return function(*args)

        return wrapper

    bound = operators.bind(decorate)
    assert bound.fourth_power(2.0, 4.0, 0.0) == 16.0
    assert called == ["fourth_power", "square"]
    called.clear()
    assert bound.lp_gradient(1.0, -1.0, 4.0, 1.0, 0.0, 0.0) == -0.25
    assert called[:4] == ["lp_gradient", "ratio_power", "power", "split"]
    assert not hasattr(bound, "bind")
    called.clear()
    operators.lp_gradient(1.0, -1.0, 4.0, 1.0, 0.0, 0.0)
    assert called == []
