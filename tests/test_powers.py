"""The powers of numpool/_powers.py, called as plain Python functions of scalars."""

import math
import sys
from decimal import Context, Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from exact import double, exact_power, in_two_parts, representable, units

from numpool import _powers as powers

INF, NAN = math.inf, math.nan
EXPONENTS = [0.3, 0.4, 1 / 3, 0.5, 1.1, 2.5, 7.0, 100.0, 1e6, 1e-3, -0.7, -1.5, -123456.789]


@pytest.fixture(autouse=True)
def silent():
    """Scalars of NumPy behave as those of kernels do, but for their warnings."""
    with np.errstate(all="ignore"):
        yield


def magnitudes(exponent, count):
    """Numbers of which the power lies in range: over all of it, and those that are hard."""
    random = np.random.default_rng(7)
    reach = 1020 / abs(exponent)
    anywhere = np.exp2(random.uniform(-min(reach, 1074), min(reach, 1023.5), count))
    # The logarithm of numbers near 1 is all in its last digits.
    near_one = 1 + random.uniform(-1, 1, count) * np.exp2(-random.uniform(1, 52, count))
    # Where the logarithm changes its range.
    cut = math.sqrt(0.5) * (1 + np.arange(-8, 9) * 2.0**-52) * 2.0 ** random.integers(-1, 2, 17)
    # Where the exponential does: half way between powers of 2.
    whole = random.integers(-min(1020, 1020 * abs(exponent)), min(1020, 1020 * abs(exponent)), 64)
    halves = np.exp2((whole + 0.5) / exponent)
    smallest = [5e-324, 1.5e-323, sys.float_info.min, np.nextafter(sys.float_info.min, 0)]
    largest = [sys.float_info.max, 1.0]
    every = np.concatenate([anywhere, near_one, cut, halves, smallest, largest])
    return every[abs(np.log2(every) * exponent) < 1024]


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_power(exponent):
    checked = 0
    for x in magnitudes(exponent, 100):
        expected = exact_power(x, Fraction(exponent))
        if representable(expected):
            checked += 1
            assert units(powers.power(x, exponent, 0.0), expected) < 1.3, x
    assert checked > 200


@pytest.mark.parametrize("exact", [Fraction(1, 3), Fraction(1, 7), Fraction(10**6, 3)])
def test_power_needs_its_correction(exact):
    exponent, correction = in_two_parts(exact)
    lost = 0
    for x in magnitudes(exponent, 100):
        expected = exact_power(x, exact)
        if representable(expected):
            lost = max(lost, units(powers.power(x, exponent, 0.0), expected))
            assert units(powers.power(x, exponent, correction), expected) < 1.3, x
    assert lost > 20


def test_power_of_special_values():
    for raised in (powers.power, powers.short_power):
        for correction in (0.0, 1e-17, -1e-17):
            assert raised(double(0.0), 0.4, correction) == 0
            assert raised(double(0.0), -0.4, correction) == INF
            assert raised(double(INF), 0.4, correction) == INF
            assert raised(double(INF), -0.4, correction) == 0
            assert math.isnan(raised(double(NAN), 0.4, correction))
            assert raised(double(1.0), 0.4, correction) == 1
        for exponent in (1e-300, 1e6, 1e308, INF):
            assert raised(double(0.0), exponent, 0.0) == 0
            assert raised(double(INF), exponent, 0.0) == INF
            assert math.isnan(raised(double(NAN), exponent, 0.0))


def test_power_of_extreme_exponents():
    above, below = np.nextafter(1.0, 2.0), np.nextafter(1.0, 0.0)
    for exponent in (1e20, 1e300, sys.float_info.max, INF):
        assert powers.power(double(1.0), exponent, 0.0) == 1
        assert powers.power(above, exponent, 0.0) == INF
        assert powers.power(below, exponent, 0.0) == 0
    for x in (5e-324, 3.0, 1.7e308):
        assert powers.power(double(x), 1e-20, 0.0) == 1


def test_power_at_the_ends_of_its_range():
    """Subnormal results are rounded once more and no worse; beyond are 0 and infinity."""
    for exponent in (1.5, 3.3, 1000.0):
        for size in np.linspace(-1073.9, -1022, 60):
            x = double(2.0 ** (size / exponent))
            expected = exact_power(x, Fraction(exponent))
            assert units(powers.power(x, exponent, 0.0), expected) < 1, x
        for size, beyond in ((-1077, 0.0), (-1090, 0.0), (-3000, 0.0), (1024.1, INF), (3000, INF)):
            with localcontext(Context(prec=40)):
                x = double(Decimal(2) ** (Decimal(size) / Decimal(exponent)))
            assert powers.power(x, exponent, 0.0) == beyond, size


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_short_power(exponent):
    for x in magnitudes(exponent, 100):
        expected = exact_power(x, Fraction(exponent))
        if x >= 2.0**-1022 and 2.0**-1021 < expected < 2.0**1021:
            got = Decimal(float(powers.short_power(x, exponent, 0.0)))
            assert abs(got / expected - 1) < (3e-10 if 0.5 < expected < 2 else 8e-9), x
    # No number that it does not hold to these digits.
    assert powers.short_power(double(2.0**-600), 2.0, 0.0) == 0
    assert powers.short_power(double(2.0**600), 2.0, 0.0) == INF


@pytest.mark.parametrize("exact", powers.FORMS)
def test_forms(exact):
    raised = getattr(powers, powers.FORMS[exact])
    exponent, correction = in_two_parts(exact)
    for x in magnitudes(max(exponent, 0.5), 200):
        expected = exact_power(x, exact)
        # A cube root is one of normal numbers; and no factor of the others is subnormal.
        if x >= 2.0**-1022 and representable(expected):
            assert units(raised(x, exponent, correction), expected) < 2.6, x
    for x in (0.0, INF, NAN):
        expected = x if exact else 1.0
        got = raised(double(x), exponent, correction)
        assert got == expected or (math.isnan(got) and math.isnan(expected))


def test_cube_root_of_cubes():
    for whole in range(1, 400):
        assert units(powers.cube_root(double(whole**3), 1 / 3, 0.0), Decimal(whole)) <= 1
