"""The decision: is HEAD slower than BASE by more than a threshold?

Figures come in pairs, one of BASE and one of HEAD right after each other, and what counts is the
logarithm of their ratio: drift and load hit both alike. Nothing is assumed of the noise but that
pairs are independent and that noise is as likely to favour one side as the other. Then the number
of pairs below the true median is binomial, which bounds the median by order statistics (the sign
test). Means and variances, which one burst of load can spoil, play no part.
"""

import math
from collections.abc import Sequence

# The numbers of pairs after which a decision is tried.
LOOKS = (8, 16, 32, 64, 128)
# The chance that two equal commits give a suspect at all, over all benchmarks and looks together.
FALSE_ALARM = 0.01
# The chance, for each benchmark and look, that one at the threshold is cleared nevertheless.
MISS = 0.01
# A suspect is confirmed by being slower than half the threshold (of its logarithm), with this
# chance of error: the place of code and data in memory can make one process slower than its equal,
# but not three in a row.
CONFIRMATION = 0.01

SLOWER, CLEAR, OPEN = "slower", "clear", "open"


def error_rate(benchmarks: int) -> float:
    """The error rate of one look at one of several benchmarks (Bonferroni)."""
    return FALSE_ALARM / (max(1, benchmarks) * len(LOOKS))


def lower_bound(values: Sequence[float], error: float) -> float:
    """A bound that lies above the median with a probability of at most `error`."""
    ordered = sorted(values)
    n = len(ordered)
    bound, below = -math.inf, 0.0
    for k, value in enumerate(ordered):
        # The chance that at most k of n values are below the median.
        below += math.comb(n, k) / 2**n
        if below > error:
            break
        bound = value
    return bound


def upper_bound(values: Sequence[float], error: float) -> float:
    """A bound that lies below the median with a probability of at most `error`."""
    return -lower_bound([-value for value in values], error)


def decide(log_ratios: Sequence[float], threshold: float, error: float) -> str:
    """SLOWER, CLEAR, or OPEN where more pairs are needed."""
    limit = math.log(threshold)
    if lower_bound(log_ratios, error) > limit:
        return SLOWER
    if upper_bound(log_ratios, MISS) < limit:
        return CLEAR
    return OPEN
