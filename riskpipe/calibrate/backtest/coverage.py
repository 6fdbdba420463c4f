"""Whether a value at risk is exceeded as often, and as independently, as it says.

`hits` are booleans or 0/1 [t] in time order: true where the loss was larger than the VaR; `tail` is the probability
with which that should happen (0.05 for VaR at 95%). All statistics are likelihood ratios unless said otherwise, with
0 ln 0 = 0, compared with chi-squared quantiles.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import bdtr, bdtrc, chdtrc, chdtri, ndtr

from riskpipe.domain.book import BoolArray, FloatArray


@dataclass(frozen=True)
class RatioTest:
    """A likelihood ratio, its degrees of freedom and p-value."""

    statistic: float
    degrees: int
    p_value: float

    def is_accepted(self, confidence: float = 0.95) -> bool:
        """Whether the ratio lies within the chi-squared quantile of this confidence."""
        return bool(self.statistic <= chdtri(self.degrees, 1.0 - confidence))


def _ratio(statistic: float, degrees: int) -> RatioTest:
    statistic = max(0.0, statistic)  # rounding may leave -1e-15 at the exact rate
    return RatioTest(statistic, degrees, float(chdtrc(degrees, statistic)))


def _log_power(count: float, probability: float) -> float:
    """A count x ln(probability), 0 where the count is 0."""
    if count == 0:
        return 0.0
    return count * float(np.log(probability)) if probability > 0.0 else -np.inf


def _bernoulli(n_misses: float, n_hits: float, probability: float) -> float:
    return _log_power(n_misses, 1.0 - probability) + _log_power(n_hits, probability)


def _check(tail: float) -> None:
    if not 0.0 < tail < 1.0:
        raise ValueError(f"tail must lie between 0 and 1 (0.05 for VaR at 95%), got {tail}")


def kupiec(n_observations: int, n_hits: int, tail: float) -> RatioTest:
    """Kupiec's proportion of failures: -2 ln[(1-p)^(n-x) p^x / ((1-x/n)^(n-x) (x/n)^x)] ~ chi2(1).

    Source: Kupiec, Journal of Derivatives 3, 1995. Raises ValueError unless 0 <= n_hits <= n_observations > 0.
    """
    _check(tail)
    if not 0 <= n_hits <= n_observations or n_observations == 0:
        raise ValueError(f"n_hits must lie in [0, n_observations], got {n_hits} of {n_observations}")
    n_misses = n_observations - n_hits
    free = _bernoulli(n_misses, n_hits, n_hits / n_observations)
    return _ratio(-2.0 * (_bernoulli(n_misses, n_hits, tail) - free), 1)


def kupiec_band(n_observations: int, tail: float) -> tuple[int, int]:
    """Fewest and most hits that Kupiec's test accepts at 95%."""
    centre = round(tail * n_observations)

    def is_in(n_hits: int) -> bool:
        return 0 <= n_hits <= n_observations and kupiec(n_observations, n_hits, tail).is_accepted()

    if not is_in(centre):  # a tiny sample may accept no count next to its mean
        accepted = [x for x in range(n_observations + 1) if is_in(x)]
        return (accepted[0], accepted[-1]) if accepted else (centre, centre)
    low = high = centre
    while is_in(low - 1):
        low -= 1
    while is_in(high + 1):
        high += 1
    return low, high


def first_failure(n_until: int, tail: float) -> RatioTest:
    """Kupiec's time until the first hit, at observation n_until (1 = the first): -2 ln[p (1-p)^(v-1) / (phat ...)].

    phat = 1 / v. ~ chi2(1).
    """
    _check(tail)
    free = _bernoulli(n_until - 1, 1, 1.0 / n_until)
    return _ratio(-2.0 * (_bernoulli(n_until - 1, 1, tail) - free), 1)


def binomial_z(n_observations: int, n_hits: int, tail: float) -> float:
    """Normal score of the number of hits: (x - n p) / sqrt(n p (1-p))."""
    _check(tail)
    return float((n_hits - n_observations * tail) / np.sqrt(n_observations * tail * (1.0 - tail)))


def binomial_p_value(
    n_observations: int, n_hits: int, tail: float, side: Literal["greater", "less", "two-sided"] = "greater"
) -> float:
    """Exact probability of so many hits or more (`greater`), or fewer (`less`); `two-sided` is the normal score's."""
    _check(tail)
    if side == "greater":
        return float(bdtrc(n_hits - 1, n_observations, tail))
    if side == "less":
        return float(bdtr(n_hits, n_observations, tail))
    return float(2.0 * ndtr(-abs(binomial_z(n_observations, n_hits, tail))))


def traffic_light(n_observations: int, n_hits: int, tail: float) -> Literal["green", "yellow", "red"]:
    """Zone of the Basel committee (1996): cumulative probability below 95%, below 99.99%, or beyond."""
    _check(tail)
    cumulative = float(bdtr(n_hits, n_observations, tail))
    if cumulative < 0.95:
        return "green"
    return "yellow" if cumulative < 0.9999 else "red"


def transitions(hits: BoolArray) -> tuple[int, int, int, int]:
    """Counts (n00, n01, n10, n11) of a hit (1) or none (0) followed by a hit or none."""
    sequence = np.asarray(hits, dtype=np.bool_)
    before, after = sequence[:-1], sequence[1:]
    n01, n11 = int((~before & after).sum()), int((before & after).sum())
    return int((~before).sum()) - n01, n01, int(before.sum()) - n11, n11


def christoffersen_independence(n00: int, n01: int, n10: int, n11: int) -> RatioTest:
    """Whether a hit makes the next one more likely: first-order Markov against independence, ~ chi2(1).

    Source: Christoffersen, International Economic Review 39, 1998. No hits at all give 0.
    """
    total = n00 + n01 + n10 + n11
    if total == 0:
        return _ratio(0.0, 1)
    rate = (n01 + n11) / total
    after_miss = n01 / (n00 + n01) if n00 + n01 else 0.0
    after_hit = n11 / (n10 + n11) if n10 + n11 else 0.0
    free = _bernoulli(n00, n01, after_miss) + _bernoulli(n10, n11, after_hit)
    return _ratio(-2.0 * (_bernoulli(n00 + n10, n01 + n11, rate) - free), 1)


def christoffersen_conditional(hits: BoolArray, tail: float) -> RatioTest:
    """Right share and independent at once: Kupiec's ratio on all hits + the independence ratio, ~ chi2(2)."""
    sequence = np.asarray(hits, dtype=np.bool_)
    return conditional_from_counts(len(sequence), int(sequence.sum()), tail, *transitions(sequence))


def conditional_from_counts(
    n_observations: int, n_hits: int, tail: float, n00: int, n01: int, n10: int, n11: int
) -> RatioTest:
    """The same from counts, as published examples give them."""
    coverage = kupiec(n_observations, n_hits, tail)
    return _ratio(coverage.statistic + christoffersen_independence(n00, n01, n10, n11).statistic, 2)


def between_failures(hits: BoolArray, tail: float) -> tuple[RatioTest, RatioTest]:
    """Haas' mixed Kupiec tests: (time between failures with coverage, ~ chi2(x + 1); between alone, ~ chi2(x)).

    The time until each hit is put to the test of the first failure. Source: Haas, New methods in backtesting, 2001.
    """
    sequence = np.asarray(hits, dtype=np.bool_)
    at = np.flatnonzero(sequence) + 1
    gaps = np.diff(np.concatenate(([0], at)))
    alone = float(sum(first_failure(int(gap), tail).statistic for gap in gaps))
    coverage = kupiec(len(sequence), len(at), tail).statistic
    return _ratio(coverage + alone, len(at) + 1), _ratio(alone, max(1, len(at)))


def hit_rate(hits: FloatArray) -> float:
    """Share of hits among hours that have a verdict; NaN is none."""
    known = hits[~np.isnan(hits)]
    return float(known.mean()) if len(known) else np.nan
