"""What "equal to 1e-9" means: |a - b| <= 1e-9 max(|a|, |b|, scale)."""

import numpy as np

from riskpipe.domain.schema import VARIABLES
from riskpipe.liquidation.kernel import run_block
from riskpipe.liquidation.reference import Reference

TOLERANCE = 1e-9
KNIFE_EDGE = 1e-9
UNITS = {key: variable.units for key, variable in VARIABLES.items()}


def gross_notional(case):
    """USD of every position and balance of the book, weighted: the scale of the rounding of its money."""
    book, price = case.book, case.book.index_price
    weight = book.account_weight[book.pool_account]
    i = book.position_instrument
    size = np.abs(book.position_quantity) * book.instrument_multiplier[i] * price[book.instrument_quote[i]]
    notional = size * np.where(book.instrument_is_inverse[i], 1.0, book.mark_price[i])
    of_options = np.abs(book.position_quantity) * book.instrument_multiplier[i] * price[book.instrument_underlying[i]]
    notional = np.where(book.is_option[i], of_options, notional)
    held = np.abs(book.slot_quantity) * price[book.slot_asset]
    return float(
        np.repeat(weight, np.diff(book.pool_position_start)) @ notional
        + np.repeat(weight, np.diff(book.pool_slot_start)) @ held
    )


def differences(mine, other, scale, keys=None, tolerance=TOLERANCE):
    """Return the keys, of those in `other`, whose values differ, with the largest difference in units of tolerance."""
    found = {}
    for key in keys or other:
        a, b = np.asarray(mine[key]), np.asarray(other[key])
        assert a.shape == b.shape, key
        if key == "entities/entity":
            continue  # an index, compared by `entities_differ`
        allowed = tolerance * np.maximum(np.maximum(np.abs(a), np.abs(b)), scale if UNITS[key] == "USD" else 1.0)
        is_equal = (np.abs(a - b) <= allowed) | (np.isnan(a) & np.isnan(b))  # options have no basis
        if not np.all(is_equal):
            found[key] = (a, b, float(np.max(np.abs(a - b) / allowed)))
    return found


def entities_differ(mine, other, scale, tolerance=TOLERANCE):
    """Whether the entity of any rank differs, where its shortfall is not tied with a neighbour's."""
    loss = np.asarray(other["entities/entity_shortfall"])
    gap = np.abs(np.diff(loss, axis=-1)) > 2.0 * tolerance * scale
    edge = np.ones((*loss.shape[:-1], 1), bool)
    # the last rank may be tied with an eleventh, which nobody sees
    is_clear = np.concatenate([edge, gap], -1) & np.concatenate([gap, ~edge], -1)
    return bool(np.any(np.asarray(mine["entities/entity"] != other["entities/entity"])[is_clear]))


def run(case):
    """Return the kernel's values by variable key, scenario first."""
    return run_block(case.book, case.market, case.rules, case.scenarios).values


def run_both(case):
    """Return the kernel's values after comparing each scenario with the reference."""
    values = run(case)
    model, scale = Reference(case.book, case.market, case.rules, case.scenarios), gross_notional(case)
    for s in range(len(case.scenarios)):
        mine, expected = {key: value[s] for key, value in values.items()}, model.run(s).values
        assert not differences(mine, expected, scale)
        assert not entities_differ(mine, expected, scale)
    return values


def compared(case, values, rows, tally):
    """Compare scenarios with the reference, but those within 1e-9 of another history; yields what they are equal to."""
    model, scale = Reference(case.book, case.market, case.rules, case.scenarios), gross_notional(case)
    for s in rows:
        outcome = model.run(s)
        tally["scenarios"] += 1
        if outcome.knife_edge < KNIFE_EDGE:
            tally["knife edges"] += 1
            continue
        mine = {key: value[s] for key, value in values.items()}
        assert mine.keys() == outcome.values.keys()
        assert not differences(mine, outcome.values, scale)
        assert not entities_differ(mine, outcome.values, scale)
        yield outcome
