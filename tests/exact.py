"""Exact powers, and how far a float64 is from an exact number."""

import math
from decimal import Context, Decimal, localcontext
from fractions import Fraction

import numpy as np


def double(value):
    """A float64 that follows IEEE arithmetic where Python's own would raise."""
    return np.float64(value)


def exact_power(x, exponent):
    """x ** exponent to 60 digits; a Decimal, of a float and a Fraction."""
    with localcontext(Context(prec=60)):
        return Decimal(float(x)) ** (Decimal(exponent.numerator) / Decimal(exponent.denominator))


def units(got, expected):
    """How far a float64 is from a Decimal, in units in the last place."""
    with localcontext(Context(prec=60)):
        unit = Decimal(math.ulp(float(expected)))
        return float(abs(Decimal(float(got)) - expected) / unit)


def representable(value):
    """Whether a positive Decimal lies among the normal numbers of float64."""
    return Decimal(2) ** -1022 <= value < Decimal(2) ** 1023


def in_two_parts(exact):
    """A Fraction as a float64 and the float64 that rounding took from it."""
    rounded = float(exact)
    return rounded, float(exact - Fraction(rounded))
