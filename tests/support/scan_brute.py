"""Portfolio margin written a second time, straight from the plain values: cells as columns, numpy and scipy."""

import numpy as np
from scipy.special import ndtr

KINDS = ["spot", "perpetual", "future", "option"]


def black(is_call, forward, strike, years, volatility):
    sign = 1.0 if is_call else -1.0
    if years <= 0.0:
        return np.maximum(0.0, sign * (forward - strike)) + 0.0 * volatility
    spread = np.maximum(volatility * np.sqrt(years), 1e-12)
    upper = np.log(forward / strike) / spread + spread / 2
    return sign * (forward * ndtr(sign * upper) - strike * ndtr(sign * (upper - spread)))


def cells_of(parameters):
    grids = [
        {**{k: v for k, v in grid.items() if not k.endswith("_moves")}, "price_move": price, "vol_move": vol}
        for grid in parameters.get("grids", [])
        for price in grid["price_moves"]
        for vol in grid.get("vol_moves", [0.0])
    ]
    return [*grids, *parameters.get("cells", [])]


def volatilities(parameters, cells, instrument):
    days = 365.0 * instrument.years
    shocks = {shock.get("name", "vol"): shock for shock in parameters["vol_shocks"]}
    moved = []
    for cell in cells:
        shock, move = shocks[cell.get("vol_shock", "vol")], cell.get("vol_move", 0.0)
        power = shock.get("short_power" if days <= 30.0 else "long_power", 0.0)
        change = move * shock["up" if move > 0 else "down"] * (30.0 / max(1.0, days)) ** power
        vol = instrument.volatility * (1 + change) if shock.get("is_relative", True) else instrument.volatility + change
        moved.append(max(vol, shock.get("least_raised", 0.0) if move > 0 else 0.0) if move else instrument.volatility)
    return np.array(moved)


def gains(parameters, cells, instrument, index):
    """USD that one unit gains in every cell, as the venue measures it."""
    x = np.array([cell["price_move"] for cell in cells])
    edge = np.array([cell.get("settled_at", cell["price_move"]) for cell in cells])
    in_coins = parameters.get("valued_in") == "settlement"
    if instrument.kind == "option":
        days = np.array([cell.get("days", 0.0) for cell in cells])
        forward = (instrument.price - instrument.fixed_price) * (1 + x) + instrument.fixed_price
        vols = volatilities(parameters, cells, instrument)
        then = np.array(
            [
                black(instrument.is_call, f, instrument.strike, instrument.years - d / 365, v)
                for f, v, d in zip(forward, vols, days, strict=True)
            ]
        )
        now = value(instrument)
        if not instrument.is_coin_settled:
            return (then - now) * instrument.quote_price
        then, now = then / forward, now / instrument.price
        return (then - now) * index * (1 + x) / (1 + edge) if in_coins else then * index * (1 + x) - now * index
    if instrument.kind == "spot":
        return 0.0 * x if in_coins else x * index
    if instrument.is_coin_settled:
        coins = 1 / instrument.price - 1 / (instrument.price * (1 + x))
        return coins * index * (1 + x) / ((1 + edge) if in_coins else 1.0)
    return x * instrument.price * instrument.quote_price


def value(instrument):
    return black(instrument.is_call, instrument.price, instrument.strike, instrument.years, instrument.volatility)


def deltas(parameters, holdings):
    found = []
    for holding in holdings:
        i = holding.instrument
        if i.kind == "option":
            step = 1e-6 * i.price  # a central difference
            up, down = (black(i.is_call, i.price + side, i.strike, i.years, i.volatility) for side in (step, -step))
            one = (up - down) / (2 * step)
            if i.is_coin_settled and parameters.get("valued_in") == "settlement":
                one -= value(i) / i.price
        else:
            in_coins = i.kind == "spot" and parameters.get("valued_in") == "settlement"  # measured in itself
            one = 0.0 if in_coins else 1 / i.price if i.is_coin_settled and i.kind != "spot" else 1.0
        found.append(holding.size * one)
    return np.array(found)


def coins(holding):
    i = holding.instrument
    is_inverse = i.is_coin_settled and i.kind in ("perpetual", "future")
    return abs(holding.size) / (i.price if is_inverse else 1.0)


def charge(parameters, rule, holdings, index):
    used = [h for h in holdings if h.instrument.kind in rule.get("kinds", KINDS)]
    return CHARGES[rule["charge"]](parameters, rule, used, index)


def size_charge(_, rule, used, index):
    side = {"both": 0.0, "long": 1.0, "short": -1.0}[rule.get("side", "both")]
    prices = [
        index
        if rule.get("priced_at", "index") == "index"
        else h.instrument.price * (1.0 if h.instrument.is_coin_settled else h.instrument.quote_price)
        for h in used
    ]
    return rule["rate"] * sum(p * coins(h) for p, h in zip(prices, used, strict=True) if side * h.size >= 0)


def naked_short_charge(_, rule, used, index):
    options = [h for h in used if h.instrument.kind == "option"]
    strikes = {(h.instrument.years, h.instrument.strike) for h in options}
    nets = [sum(h.size for h in options if (h.instrument.years, h.instrument.strike) == at) for at in strikes]
    return rule["rate"] * index * sum(max(0.0, -net) for net in nets)


def confidence_charge(_, rule, used, index):
    doubt = [(1 - h.instrument.confidence) * coins(h) for h in used if h.instrument.confidence < rule["threshold"]]
    return rule["factor"] * index * sum(doubt)


def delta_charge(parameters, rule, used, index):
    d = deltas(parameters, used)
    hedged = min(d[d > 0].sum(), -d[d < 0].sum()) if len(d) else 0.0
    return index * (rule.get("net_rate", 0.0) * abs(d.sum()) + rule.get("hedged_rate", 0.0) * hedged)


def liquidity_charge(parameters, rule, used, index):
    bought = [h for h in used if h.instrument.kind == "option" and h.size > 0]
    rest = [h for h in used if h not in bought]
    d, b = deltas(parameters, rest).sum(), deltas(parameters, bought).sum()
    d = min(max(d + b, d), 0.0) if d < 0 else max(min(d + b, d), 0.0)
    over = max(0.0, abs(d) - rule["threshold_usd"] / index)
    return index * abs(d) * min(rule["largest_rate"], rule["slope"] * over)


def expiry_charge(parameters, rule, used, index):
    if rule.get("exposure", "delta") == "vega":
        exposure = [vega_usd(h, index) for h in used]
    else:
        exposure = deltas(parameters, used) * index
    keys = [h.instrument.kind if h.instrument.kind in ("spot", "perpetual") else h.instrument.years for h in used]
    nets = np.array([sum(e for e, k in zip(exposure, keys, strict=True) if k == key) for key in dict.fromkeys(keys)])
    years = np.array([key if isinstance(key, float) else 0.0 for key in dict.fromkeys(keys)])
    moves = np.maximum(rule.get("least_move", 0.0), rule.get("annual_move", 0.0) * years)
    if rule.get("counted", "every") == "every" or not len(nets):
        return float((np.abs(nets) * moves).sum())
    longs, shorts = nets[nets > 0].sum(), -nets[nets < 0].sum()
    share = np.where(nets > 0, min(longs, shorts) / max(longs, 1e-300), min(longs, shorts) / max(shorts, 1e-300))
    return float((np.abs(nets) * moves * share).sum())


CHARGES = {
    "size": size_charge,
    "naked_short": naked_short_charge,
    "confidence": confidence_charge,
    "delta": delta_charge,
    "liquidity": liquidity_charge,
    "expiry": expiry_charge,
}


def vega_usd(holding, index):
    i = holding.instrument
    if i.kind != "option":
        return 0.0
    up, down = (black(i.is_call, i.price, i.strike, i.years, i.volatility + side) for side in (1e-6, -1e-6))
    slope = holding.size * (up - down) / 2e-6
    return slope / i.price * index if i.is_coin_settled else slope * i.quote_price


def brute_force(parameters, holdings, market):
    """Return maintenance and initial margin in USD."""
    index = market.index_price
    if parameters.get("spot_use") == "hedge":
        rest = [h for h in holdings if h.instrument.kind != "spot"]
        owned, net = sum(h.size for h in holdings if h.instrument.kind == "spot"), deltas(parameters, rest).sum()
        share = min(1.0, max(0.0, -net / owned)) if owned else 0.0
        holdings = [*rest, *(type(h)(h.instrument, share * h.size) for h in holdings if h.instrument.kind == "spot")]
    cells = cells_of(parameters)
    totals = sum((h.size * gains(parameters, cells, h.instrument, index) for h in holdings), np.zeros(len(cells)))
    options = [h for h in holdings if h.instrument.kind == "option"]
    expiries = sorted({h.instrument.years for h in options})
    if law := parameters.get("long_value"):
        for years in expiries:
            own = [h for h in options if h.instrument.years == years]
            worth = sum(
                h.size
                * (
                    gains(parameters, cells, h.instrument, index)
                    + value(h.instrument)
                    * (index / h.instrument.price if h.instrument.is_coin_settled else h.instrument.quote_price)
                )
                for h in own
            )
            share = law["factor"] * np.exp(
                -years * (law["rate_multiple"] * own[0].instrument.rate + law["rate_addition"])
            )
            totals -= np.maximum(worth, 0.0) * (1 - share)
    figures = dict.fromkeys([c.get("group", "scan") for c in cells], 0.0)
    for cell, total in zip(cells, totals, strict=True):
        relief = cell.get("relief_usd", 0.0)
        if parameters.get("valued_in") == "settlement":
            relief /= 1 + cell.get("settled_at", cell["price_move"])
        loss = max(0.0, -total * cell.get("weight", 1.0) - relief)
        group = cell.get("group", "scan")
        figures[group] = max(figures[group], loss)
    for scan in parameters.get("expiry_scans", []):
        for years in expiries:
            own = [h for h in options if h.instrument.years == years]
            changes = sum(h.size * gains(parameters, scan["cells"], h.instrument, index) for h in own)
            figures.setdefault(scan["group"], 0.0)
            figures[scan["group"]] += max(0.0, -changes.min()) * (scan["factor"] + scan["annual_factor"] * years)
        figures.setdefault(scan["group"], 0.0)
    for rule in parameters.get("charges", []):
        figures[rule["group"]] = figures.get(rule["group"], 0.0) + charge(parameters, rule, holdings, index)
    for multiplier in parameters.get("multipliers", []):
        raw, total = figures[multiplier["group"]], 0.0
        for (floor, factor), top in zip(
            multiplier["tiers"], [t[0] for t in multiplier["tiers"][1:]] + [np.inf], strict=True
        ):
            total += factor * (min(raw, top) - floor if raw > floor else 0.0)
        figures[multiplier["group"]] = total
    base = max(figures[g] for g in parameters.get("largest", ["scan"])) + sum(
        figures[g] for g in parameters.get("added", [])
    )
    base = max([base, *(figures[g] for g in parameters.get("at_least", []))])
    factor = parameters.get("initial_factor", 1.0) + parameters.get("peg_factor", 0.0) * max(
        0.0, parameters.get("peg_threshold", 0.0) - market.peg_price
    )
    initial = factor * base + sum(figures[g] for g in parameters.get("added_to_initial", []))
    return parameters.get("maintenance_factor", 1.0) * base, initial
