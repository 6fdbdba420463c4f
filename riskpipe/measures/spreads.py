"""Spreads: what pairs of prices do, what trading them is like, and who is in them."""

import numpy as np
import xarray as xr

from riskpipe.domain.market import NOT_CHECKED, STEADY, WIDENS
from riskpipe.domain.schema import VARIABLES
from riskpipe.measures.cells import labels, quantity, read

DAY = "1d"
_NUMBERS = {"widening_score": "sigma", "observations": "changes", "break_even_days": "days"}
_SHARES = {
    "spread", "last_history_spread", "mean_spread", "gap", "common_share", "gross_carry", "carry_fees", "net_carry",
    "neutral_share", "unknown_share", "spread_vol", "hedge_effectiveness", "hedge_deviation", "hedge_loss_99",
    "exhaustion", "exhaustion_error",
}  # fmt: skip
KEYS = tuple(key for key in VARIABLES if key.startswith("spreads/"))


def spreads(tree: xr.DataTree) -> xr.Dataset:
    """Every variable of /spreads, pairs in the order in which they matter, with what that order is by.

    Returns dims (pair) and (pair, horizon): the variables of /spreads under their own names; and (pair):
    `crowded_move`, what one standard deviation of a day moves for delta-neutral holders, USD, NaN where not measured;
    `state`, one of "widens" (over some horizon), "steady", "not checked".

    Pairs with the largest crowded move come first, then those whose spread is most volatile, then those not measured.
    """
    names = {key: key.partition("/")[2] for key in KEYS}
    found = {name: read(tree, key, may_hold_nan=True) for key, name in names.items()}
    horizons = labels(tree, "spreads", "horizon")
    daily = np.asarray(found["spread_vol"])[:, horizons.index(DAY)]
    crowded = found["neutral_interest"] * daily
    flags = found["is_widening"]
    is_wide, is_measured = (flags == 1.0).any(axis=1), ~np.isnan(flags).all(axis=1)
    state = np.where(is_wide, WIDENS, np.where(is_measured, STEADY, NOT_CHECKED)).astype(object)
    order = np.lexsort((np.arange(len(daily)), -np.nan_to_num(daily, nan=-1.0), -np.nan_to_num(crowded, nan=-1.0)))
    data = {
        name: quantity(VARIABLES[key].dims, found[name][order], units_of(key, name), VARIABLES[key].long_name, key)
        for key, name in names.items()
    }
    sources = ("spreads/neutral_interest", "spreads/spread_vol")
    data["crowded_move"] = quantity(("pair",), crowded[order], "USD", "a day's deviation for who is neutral", *sources)
    data["state"] = quantity(("pair",), state[order], "", "whether the spread widens", "spreads/is_widening")
    pairs = np.array(labels(tree, "spreads", "pair"), dtype=object)[order]
    return xr.Dataset(data, coords={"pair": pairs.tolist(), "horizon": horizons})


def units_of(key: str, name: str) -> str:
    """Units as the report writes them."""
    if VARIABLES[key].dtype == "string":
        return ""
    if name in _SHARES:
        return "share"
    return _NUMBERS.get(name) or VARIABLES[key].units
