"""Margin tiers and collateral bands of the two invented venues, built from published figures.

Alpha follows a linear venue with many small tiers, bravo a venue with few large ones, so that a book on both meets two
different rule sets.
"""

from riskpipe.ingest.synthetic.description import CollateralBand, Tier

# Binance BTCUSDT brackets of 2024-10-24 (floor in USDT, maintenance rate, largest leverage), as published by the venue
# and recorded in freqtrade/freqtrade@c9ae5e1e, freqtrade/exchange/binance_leverage_tiers.json.
_BTC_BRACKETS = (
    (0.0, 0.004, 125),
    (50e3, 0.005, 100),
    (600e3, 0.0065, 75),
    (3e6, 0.01, 50),
    (12e6, 0.02, 25),
    (70e6, 0.025, 20),
    (100e6, 0.05, 10),
    (230e6, 0.10, 5),
    (480e6, 0.125, 4),
    (600e6, 0.15, 3),
    (800e6, 0.25, 2),
    (1.2e9, 0.50, 1),
)
# ETHUSDT on the same date and from the same source has these floors with the same rates.
_ETH_FLOORS = (0.0, 50e3, 600e3, 3e6, 12e6, 50e6, 65e6, 150e6, 320e6, 400e6, 530e6, 800e6)
# Smaller coins: assumed, in the manner of the brackets above.
_ALT_BRACKETS = (
    (0.0, 0.006, 75),
    (20e3, 0.01, 50),
    (160e3, 0.02, 25),
    (1e6, 0.05, 10),
    (5e6, 0.10, 5),
    (10e6, 0.125, 4),
    (20e6, 0.25, 2),
    (60e6, 0.50, 1),
)
# Dated futures: Binance BTCUSDT 240927 of 2024-07-20, floors in USDT (source as above).
_DATED_BRACKETS = (
    (0.0, 0.01, 50),
    (50e3, 0.02, 25),
    (375e3, 0.05, 10),
    (2e6, 0.10, 5),
    (4e6, 0.125, 4),
    (10e6, 0.15, 3),
    (20e6, 0.25, 2),
    (40e6, 0.50, 1),
)
# Hyperliquid main net: largest leverage above each floor; maintenance is half the initial rate at that leverage
# (hyperliquid.gitbook.io/hyperliquid-docs/trading/margin-tiers).
_LEVERAGE_STEPS = {
    "BTC": ((0.0, 40), (150e6, 20)),
    "ETH": ((0.0, 25), (100e6, 15)),
    "SOL": ((0.0, 20), (70e6, 10)),
    "XRP": ((0.0, 20), (40e6, 10)),
}
_OTHER_LEVERAGE_STEPS = ((0.0, 10), (20e6, 5))

# Haircuts in bands: floor in USD and haircut. The bands of staked ether are OKX's of 2024-07-18 (credit .95, .85, .5
# and 0 from 0, 2, 4 and 8 million); the others are assumed, coarser at bravo.
_ALPHA_HAIRCUTS = {
    "USDT": ((0.0, 0.0),),
    "USDC": ((0.0, 0.0), (50e6, 0.02)),
    "BTC": ((0.0, 0.05), (20e6, 0.075), (100e6, 0.10)),
    "ETH": ((0.0, 0.05), (20e6, 0.10), (100e6, 0.15)),
    "SOL": ((0.0, 0.10), (5e6, 0.20), (20e6, 0.40)),
    "WBETH": ((0.0, 0.05), (2e6, 0.15), (4e6, 0.50), (8e6, 1.0)),
    "BNB": ((0.0, 0.10), (5e6, 0.20)),
}
_BRAVO_HAIRCUTS = {
    "USDT": ((0.0, 0.0),),
    "BTC": ((0.0, 0.02), (50e6, 0.10)),
    "ETH": ((0.0, 0.04), (30e6, 0.12)),
    "USDC": ((0.0, 0.005),),
    "SOL": ((0.0, 0.12), (10e6, 0.30)),
    "XRP": ((0.0, 0.12), (10e6, 0.30)),
    "LTC": ((0.0, 0.15), (5e6, 0.35)),
    "ADA": ((0.0, 0.15), (5e6, 0.35)),
}
_STABLE_BORROW_RATE, _MAJOR_BORROW_RATE, _OTHER_BORROW_RATE = 0.02, 0.04, 0.08


def tiers_from_brackets(schedule: str, brackets: tuple[tuple[float, float, float], ...]) -> tuple[Tier, ...]:
    """Return tiers of (floor USD, maintenance rate, largest leverage) brackets, deductions by the venues' recursion.

    deduction_k = deduction_{k-1} + floor_k (rate_k - rate_{k-1}), which keeps maintenance margin continuous in size.
    """
    tiers: list[Tier] = []
    deduction, last_rate = 0.0, brackets[0][1]
    for floor, rate, leverage in brackets:
        deduction += floor * (rate - last_rate)
        last_rate = rate
        tiers.append(Tier(schedule, floor, 1.0 / leverage, rate, deduction))
    return tuple(tiers)


def alpha_tiers(underlying: str, *, is_dated: bool) -> tuple[Tier, ...]:
    """Return alpha's schedule for an underlying, with explicit deductions."""
    if is_dated:
        return tiers_from_brackets(f"alpha-{underlying}-dated", _DATED_BRACKETS)
    brackets = {
        "BTC": _BTC_BRACKETS,
        "ETH": tuple((floor, *rest) for floor, (_, *rest) in zip(_ETH_FLOORS, _BTC_BRACKETS, strict=True)),
    }.get(underlying, _ALT_BRACKETS)
    return tiers_from_brackets(f"alpha-{underlying}", brackets)  # type: ignore[arg-type]


def bravo_tiers(underlying: str) -> tuple[Tier, ...]:
    """Return bravo's schedule for an underlying, deductions left to be recomputed by the reader."""
    return tuple(
        Tier(f"bravo-{underlying}", floor, 1.0 / leverage, 0.5 / leverage)
        for floor, leverage in _LEVERAGE_STEPS.get(underlying, _OTHER_LEVERAGE_STEPS)
    )


def borrow_maintenance_rate(asset: str) -> float:
    """Return the assumed maintenance margin per USD borrowed."""
    if asset in {"USDT", "USDC"}:
        return _STABLE_BORROW_RATE
    return _MAJOR_BORROW_RATE if asset in {"BTC", "ETH"} else _OTHER_BORROW_RATE


def bands(venue: str, haircuts: dict[str, tuple[tuple[float, float], ...]]) -> tuple[CollateralBand, ...]:
    """Return a venue's collateral rows from (floor USD, haircut) bands by asset."""
    return tuple(
        CollateralBand(venue, asset, floor, haircut, borrow_maintenance_rate(asset))
        for asset, rows in haircuts.items()
        for floor, haircut in rows
    )


def invented_collateral() -> tuple[CollateralBand, ...]:
    """Return the collateral tables of both invented venues."""
    return bands("alpha", _ALPHA_HAIRCUTS) + bands("bravo", _BRAVO_HAIRCUTS)
