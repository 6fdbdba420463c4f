"""What a future and a perpetual should cost: cost of carry, no-arbitrage perpetual prices, and deviations from them.

A basis is stored as it is, price / index - 1, and annualised for display only: dividing by the time left multiplies
its noise by as much, so annualised bases explode at expiry. Rates are fractions a year continuously compounded unless
a function says per step. Arguments are floats or float64 arrays of one shape; NaN in, NaN out.
"""

import numpy as np

from riskpipe.domain.book import FloatArray, Numbers

DAYS_PER_YEAR = 365.0
EXCLUDED_DAYS = 3.0  # before expiry in which an annualised basis is noise and is not shown
TAPER_DAYS = 30.0
_MAXIMUM_TERMS = 100_000


def fair_future(spot: Numbers, quote_rate: Numbers, carry_yield: Numbers, years: Numbers) -> Numbers:
    """Cost-of-carry price of a dated future: S exp((r - y) T), y what holding the asset earns."""
    return spot * np.exp((quote_rate - carry_yield) * years)


def simple_basis(price: Numbers, spot: Numbers) -> Numbers:
    """Basis price / spot - 1, not annualised: the form that is stored."""
    return price / spot - 1.0


def log_basis(price: Numbers, spot: Numbers) -> Numbers:
    """Basis ln(price / spot), not annualised: the form that models add up."""
    return np.log(price / spot)


def annual_basis(basis: Numbers, days: Numbers, *, excluded_days: float = EXCLUDED_DAYS) -> FloatArray:
    """Simple or log basis a year: basis x 365 / days; NaN within `excluded_days` of expiry."""
    left = np.asarray(days, dtype=np.float64)
    is_shown = left > max(0.0, excluded_days)
    return np.where(is_shown, np.asarray(basis) * DAYS_PER_YEAR / np.where(is_shown, left, 1.0), np.nan)


def fair_basis_residual(basis: Numbers, quote_rate: Numbers, carry_yield: Numbers, years: Numbers) -> Numbers:
    """What a log basis has beyond cost of carry, b - (r - y) T; it goes to 0 at expiry as the basis itself does."""
    return basis - (quote_rate - carry_yield) * years


def implied_rate(basis: Numbers, carry_yield: Numbers, years: Numbers) -> FloatArray:
    """Quote rate at which a log basis is fair: b / T + y; NaN where no time is left."""
    left = np.asarray(years, dtype=np.float64)
    has_time = left > 0.0
    return np.where(has_time, np.asarray(basis) / np.where(has_time, left, 1.0) + carry_yield, np.nan)


def expiry_taper(days: Numbers) -> FloatArray:
    """Share in [0, 1] of a basis shock that a future with so many days left still takes: min(1, days / 30).

    Linear in time: the basis that noise of constant annualised size leaves. Perpetuals (days infinite) take all, what
    has expired takes nothing.
    """
    return np.clip(np.asarray(days, dtype=np.float64) / TAPER_DAYS, 0.0, 1.0)


def perpetual_ratio(kappa: Numbers, iota: Numbers, quote_rate: Numbers, asset_rate: Numbers) -> Numbers:
    """No-arbitrage price over index of a linear perpetual in steps, (k - i)(1 + r_b) / (k (1 + r_b) + r_b - r_a).

    The long receives f_{t+1} - f_t and pays kappa (f_t - x_t) + iota x_t, accrued at t and settled at t + 1. All per
    step: kappa anchoring intensity, iota interest component, r_a quote rate, r_b asset rate. NaN where kappa does not
    outpace what the index grows by, for then no price is finite. This timing is derived here (hazard
    kappa / (1 + kappa)); other texts settle at t and have kappa / (1 + r). Source: Ackerer, Hugonnier and Jermann,
    Perpetual futures pricing, Mathematical Finance 36, 2026 (arXiv 2310.11771).
    """
    pull = np.asarray(kappa * (1.0 + asset_rate) + asset_rate - quote_rate)
    return np.where(pull > 0.0, (kappa - iota) * (1.0 + asset_rate) / np.where(pull > 0.0, pull, 1.0), np.nan)[()]


def perpetual_ratio_series(kappa: float, iota: float, quote_rate: float, asset_rate: float) -> float:
    """The same as a sum over the random time at which the perpetual becomes its index, the closed form's check.

    f/x = (kappa - iota) / (1 + kappa) x sum of q^t, q = (1 + r_a) / ((1 + r_b)(1 + kappa)), until terms do not count.
    Raises ValueError where q >= 1, for then no price is finite.
    """
    q = (1.0 + quote_rate) / ((1.0 + asset_rate) * (1.0 + kappa))
    if not 0.0 <= q < 1.0:
        raise ValueError(f"the sum does not converge: kappa {kappa} must exceed what the index grows by in a step")
    total, term = 0.0, (kappa - iota) / (1.0 + kappa)
    for _ in range(_MAXIMUM_TERMS):
        total += term
        term *= q
        if abs(term) <= 1e-18 * abs(total):
            break
    return total


def continuous_perpetual_ratio(kappa: Numbers, iota: Numbers, quote_rate: Numbers, asset_rate: Numbers) -> Numbers:
    """No-arbitrage price over index of a linear perpetual in continuous time: (k - i) / (k + r_b - r_a), all a year.

    kappa is 1095 for funding that pays a premium every 8 hours; with iota 0 the ratio is kappa / (kappa - r). NaN where
    kappa does not exceed r_a - r_b.
    """
    pull = np.asarray(kappa + asset_rate - quote_rate)
    return np.where(pull > 0.0, (kappa - iota) / np.where(pull > 0.0, pull, 1.0), np.nan)[()]


def inverse_perpetual_ratio(kappa: Numbers, iota: Numbers, quote_rate: Numbers, asset_rate: Numbers) -> Numbers:
    """No-arbitrage price over index of a coin-margined perpetual in steps, constant rates.

    1/f is a linear perpetual on 1/x in coins, so rates change places and the ratio is the reciprocal. With rates that
    move along with the index it is below the linear one's by Jensen's inequality, which this does not reckon with.
    """
    return 1.0 / perpetual_ratio(kappa, iota, asset_rate, quote_rate)


def neutral_interest(quote_rate: Numbers, asset_rate: Numbers) -> Numbers:
    """Interest component per step with which a linear perpetual equals its index: (r_a - r_b) / (1 + r_b)."""
    return (quote_rate - asset_rate) / (1.0 + asset_rate)


def annual_deviation(ratio: Numbers, fair_ratio: Numbers, kappa: Numbers) -> Numbers:
    """How far a perpetual stands from its fair ratio, fraction a year: kappa x (price / index - fair ratio).

    What its carry earns beyond what is fair as long as the gap stays (He, Manela, Ross and von Wachter, arXiv
    2212.06888, rho); kappa a year.
    """
    return kappa * (ratio - fair_ratio)
