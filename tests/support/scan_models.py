"""Portfolio-margin rules of venues as the plain values a venue file holds, and short ways to name holdings."""

from riskpipe.margin.risk_unit import UnitHolding, UnitInstrument

VOL = {"name": "vol", "short_power": 0.3, "long_power": 0.13}


def span(range_, vol_range, multiple, cover):
    """SPAN's 16 scenarios: thirds of the price scan range with volatility up and down, two extreme moves at a cover.

    Source: eslm.lpude.in table 12.1 (2 x at 35%); McMillan, Options as a Strategic Investment, chapter 34."""
    thirds = [sign * share * range_ for share in (0.0, 1 / 3, 2 / 3, 1.0) for sign in ((1, -1) if share else (1,))]
    return {
        "vol_shocks": [{"name": "vol", "up": vol_range, "down": vol_range}],
        "grids": [{"price_moves": thirds, "vol_moves": [1, -1]}],
        "cells": [{"price_move": sign * multiple * range_, "weight": cover} for sign in (1, -1)],
    }


def okx(largest_move, extreme_move, annual_move, tiers, least_move=0.006, spot=True):
    """OKX, BTC and ETH: MR1 to MR7 (https://aws.okx.com/it/help/okx-to-enhance-new-features-in-portfolio-margin-mode).

    Moves: https://okx-api.aperture.finance/help/okx-will-further-adjust-portfolio-margin-parameters. What MR3 and MR5
    charge is not public: a hundredth of what offsets across expiries stands for them here."""
    moves = [n / 3 * largest_move for n in range(-3, 4)]
    return {
        "largest": ["MR1", "MR2", "MR6"],
        "added": ["MR3", "MR4", "MR5"],
        "at_least": ["MR7"],
        "initial_factor": 1.3,
        "spot_use": "hedge",
        "vol_shocks": [{"name": "points", "up": 0.3, "down": 0.3, "is_relative": False}],
        "grids": [{"group": "MR1", "price_moves": moves, "vol_moves": [1, 0, -1], "vol_shock": "points"}],
        "cells": [
            {"group": "MR2", "price_move": 0.0, "days": 1, "vol_shock": "points"},
            {"group": "MR6", "price_move": extreme_move, "weight": 0.5, "vol_shock": "points"},
            {"group": "MR6", "price_move": -extreme_move, "weight": 0.5, "vol_shock": "points"},
        ],
        "charges": [
            {"charge": "expiry", "group": "MR3", "exposure": "vega", "least_move": 0.01, "counted": "offsetting"},
            {
                "charge": "expiry",
                "group": "MR4",
                "annual_move": annual_move,
                "least_move": least_move,
                "counted": "offsetting",
                "kinds": ["spot", "perpetual", "future", "option"] if spot else ["perpetual", "future", "option"],
            },
            {
                "charge": "expiry",
                "group": "MR5",
                "annual_move": 0.01,
                "counted": "offsetting",
                "kinds": ["option"],
            },
            {"charge": "size", "group": "MR7", "rate": 0.0045, "kinds": ["perpetual", "future"], "priced_at": "mark"},
            {"charge": "size", "group": "MR7", "rate": 0.0045, "kinds": ["option"], "side": "short"},
        ],
        "multipliers": [{"group": "MR7", "tiers": tiers}],
    }


OKX_TIERS_BEFORE = [[0, 1], [1e4, 2], [7e4, 4], [1.7e5, 6], [3e5, 8], [4.7e5, 10], [7e5, 12]]
OKX_TIERS_2025 = [[0, 1], [2.5e5, 2], [5e5, 4], [1e6, 6], [2e6, 8], [3e6, 10], [4e6, 12]]
OKX_BEFORE_SPOT = okx(0.15, 0.30, 0.0, OKX_TIERS_BEFORE, spot=False)
OKX_2024 = okx(0.15, 0.30, 0.0, OKX_TIERS_BEFORE)
OKX_2025 = okx(0.12, 0.24, 0.05, OKX_TIERS_2025)


def deribit(price_range, vol_up, annual_move, least_move, dampener, slope, gain_share):
    """Deribit's risk matrix: 9 buckets x volatility up, same and down, and the extended table.

    Rules: https://support.deribit.com/hc/en-us/articles/25944756247837-Portfolio-Margin; parameters are those of
    private/pme/simulate (https://docs.deribit.com/api-reference/account-management/private-simulate). An extended cell
    counts price_range / |move| of the USD result, turned into coins at the edge of the range, less the dampener."""
    far = [-0.66, -0.33, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0]
    return {
        "valued_in": "settlement",
        "largest": ["standard", "extended"],
        "added": ["roll_shock", "delta_shock"],
        "maintenance_factor": 0.8,
        "gain_share": gain_share,
        "vol_shocks": [{**VOL, "up": vol_up, "down": 0.25, "least_raised": 0.5}],
        "grids": [
            {
                "group": "standard",
                "price_moves": [n / 4 * price_range for n in range(-4, 5)],
                "vol_moves": [1, 0, -1],
            }
        ],
        "cells": [
            {
                "group": "extended",
                "price_move": move,
                "vol_move": 1,
                "weight": price_range / abs(move),
                "relief_usd": (abs(move) / price_range - 1.0) * dampener,
                "settled_at": price_range if move > 0.0 else -price_range,
            }
            for move in far
        ],
        "charges": [
            {"charge": "expiry", "group": "roll_shock", "annual_move": annual_move, "least_move": least_move},
            {
                "charge": "liquidity",
                "group": "delta_shock",
                "threshold_usd": 2e7,
                "slope": slope,
                "largest_rate": 0.1,
            },
        ],
    }


DERIBIT_BTC_2024 = deribit(0.16, 0.5, 0.075, 0.01, 1e5, 5e-5, 0.0)
DERIBIT_ETH_2026 = deribit(0.18, 0.4, 0.05, 0.005, 2e5, 4e-6, 0.6)

# https://www.deribit.com/pages/docs/portfoliomargin, before 2024
DERIBIT_FORMER = {
    "valued_in": "settlement",
    "largest": ["scan"],
    "added": ["options", "futures"],
    "vol_shocks": [{**VOL, "up": 0.38, "down": 0.38, "long_power": 0.3}],
    "grids": [{"price_moves": [-0.1, -0.05, 0.0, 0.05, 0.1], "vol_moves": [1, 0, -1]}],
    "charges": [
        {"charge": "naked_short", "group": "options", "rate": 0.01},
        {"charge": "delta", "group": "futures", "hedged_rate": 0.01, "kinds": ["perpetual", "future"]},
    ],
}

# PMRM of github.com/derivexyz/v2-core with the parameters of its tests (config-test.sol): src/risk-managers/PMRMLib.sol
PMRM = {
    "largest": ["scan", "basis"],
    "added": ["static"],
    "added_to_initial": ["confidence"],
    "initial_factor": 1.3,
    "peg_threshold": 0.98,
    "peg_factor": 2.0,
    "vol_shocks": [{**VOL, "up": 0.45, "down": 0.3}],
    "long_value": {"factor": 0.95, "rate_multiple": 4.0, "rate_addition": 0.05},
    "grids": [{"price_moves": [0.15, 0.1, 0.05, 0.0, -0.05, -0.1, -0.15], "vol_moves": [1, 0, -1]}],
    "expiry_scans": [
        {
            "group": "basis",
            "factor": 0.25,
            "annual_factor": 0.01,
            "cells": [{"price_move": 0.05}, {"price_move": -0.05}],
        }
    ],
    "charges": [
        {"charge": "size", "group": "static", "rate": 0.02, "kinds": ["spot", "perpetual"]},
        {"charge": "naked_short", "group": "static", "rate": 0.01},
        {"charge": "confidence", "group": "confidence", "threshold": 0.6, "factor": 0.5},
    ],
}

# https://wiki.dederi.io/RiskControlRules/portfolio_margin
DEDERI = {
    "largest": ["scan"],
    "added": ["futures"],
    "vol_shocks": [{**VOL, "up": 0.45, "down": 0.3}],
    "grids": [{"price_moves": [0.03 * n for n in range(-5, 6)], "vol_moves": [1, 0, -1]}],
    "charges": [{"charge": "size", "group": "futures", "rate": 0.006, "kinds": ["future"]}],
}

# https://docs.paradex.trade/risk/portfolio-margin: 16 near cells, 8 far ones weighted 16% / move; vol +40%, -22%
PARADEX = {
    "largest": ["scan"],
    "at_least": ["least_delta"],
    "maintenance_factor": 0.5,
    "vol_shocks": [{**VOL, "up": 0.4, "down": 0.22}],
    "grids": [{"price_moves": [0.04 * n for n in range(-3, 4)], "vol_moves": [1, -1]}],
    "cells": [
        {"price_move": 0.16, "vol_move": 1},
        {"price_move": -0.16, "vol_move": 1},
        *(
            {"price_move": move, "vol_move": 1, "weight": weight}
            for move, weight in (
                *((-0.66, 0.24), (-0.33, 0.48), (0.5, 0.32), (1.0, 0.16)),
                *((2.0, 0.08), (3.0, 0.0533), (4.0, 0.04), (5.0, 0.032)),
            )
        ),
    ],
    "charges": [{"charge": "delta", "group": "least_delta", "net_rate": 0.02, "hedged_rate": 0.01}],
}

ALL = {
    "span double": span(0.1, 0.25, 2, 0.35),
    "span triple": span(0.1, 0.25, 3, 0.33),
    "okx 2024": OKX_2024,
    "okx 2025": OKX_2025,
    "deribit btc": DERIBIT_BTC_2024,
    "deribit eth": DERIBIT_ETH_2026,
    "deribit former": DERIBIT_FORMER,
    "pmrm": PMRM,
    "dederi": DEDERI,
    "paradex": PARADEX,
}


def spot(size, price):
    return UnitHolding(UnitInstrument("spot", price), size)


def perpetual(size, price, **more):
    return UnitHolding(UnitInstrument("perpetual", price, **more), size)


def future(size, price, years, **more):
    return UnitHolding(UnitInstrument("future", price, years=years, **more), size)


def option(size, forward, strike, years, volatility, is_call=True, **more):
    instrument = UnitInstrument(
        "option", forward, years=years, strike=strike, is_call=is_call, volatility=volatility, **more
    )
    return UnitHolding(instrument, size)
