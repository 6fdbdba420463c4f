"""Books in which every contract is margined in its own way: tiers of coins, rates that grow, at entry, fees inside."""

from dataclasses import replace

import numpy as np

from riskpipe.domain.rules import ContractRules

KINDS = ("usd", "coin", "slope", "entry", "entry coin", "entry slope")


def with_mixed_margin(rng, case):
    """Return the case with a margin model drawn for each contract, and tiers that count what it counts."""
    book, contracts, rows = case.book, {}, []
    for i, name in enumerate(book.names("instrument")):
        tiers = slice(*book.instrument_tier_start[[i, i + 1]])
        floors, initial, maintenance, deductions = (
            np.array(column[tiers])
            for column in (book.tier_floor, book.tier_initial_rate, book.tier_maintenance_rate, book.tier_deduction)
        )
        is_inverse = bool(book.instrument_is_inverse[i])
        coin_price = book.index_price[book.instrument_underlying[i]]
        kind = KINDS[int(rng.integers(0, len(KINDS)))]
        if kind == "entry" and is_inverse:
            kind = "entry coin"  # inverse contracts at entry count coins
        slope = 0.0
        if "coin" in kind:
            floors, deductions = floors / coin_price, deductions / coin_price
        elif "slope" in kind:
            floors, initial, maintenance, deductions = floors[:1], initial[:1], maintenance[:1], deductions[:1] * 0.0
            slope = float(rng.uniform(1e-7, 2e-6)) * coin_price
        contracts[name] = ContractRules(
            unit="coin" if "coin" in kind or ("slope" in kind and is_inverse) else "usd",
            valued_at="entry" if "entry" in kind else "mark",
            fee_rate=float(rng.choice([0.0, 0.0006, 0.004])),
            initial_slope=slope * float(rng.uniform(1.0, 2.0)),
            maintenance_slope=slope,
        )
        rows.append((floors, initial, maintenance, deductions))
    names = ("tier_floor", "tier_initial_rate", "tier_maintenance_rate", "tier_deduction")
    columns = {name: np.concatenate(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    start = np.concatenate(([0], np.cumsum([len(row[0]) for row in rows]))).astype(np.int64)
    book = replace(book, instrument_tier_start=start, **columns)
    return replace(case, book=book, rules=replace(case.rules, contracts=contracts))
