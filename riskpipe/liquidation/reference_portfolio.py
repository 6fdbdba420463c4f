"""The specification of options and of portfolio margin."""

from typing import Protocol

from riskpipe.domain.book import Book, InstrumentKind
from riskpipe.domain.market import Market
from riskpipe.domain.rules import Rules, VenueRules
from riskpipe.liquidation.state import Impact, Prices
from riskpipe.margin.risk_unit import UnitHolding, UnitInstrument, UnitMarket
from riskpipe.margin.scan import requirement
from riskpipe.margin.scan_model import Kind, ScanModel
from riskpipe.pricing.black76 import delta, option_value

KINDS: dict[int, Kind] = {
    int(InstrumentKind.PERPETUAL): "perpetual",
    int(InstrumentKind.FUTURE): "future",
    int(InstrumentKind.OPTION): "option",
}


class Model(Protocol):
    """What options and portfolio margin need of the model."""

    book: Book
    market: Market
    rules: Rules
    unit_models: dict[tuple[int, int], ScanModel]
    years: list[float]

    def positions(self, p: int) -> range:
        """Return the positions of a pool."""

    def slots(self, p: int) -> range:
        """Return the slots of a pool."""


def is_coin_settled(book: Book, i: int) -> bool:
    """Whether a contract pays in its underlying."""
    if book.instrument_kind[i] == InstrumentKind.OPTION:
        return bool(book.instrument_settlement[i] == book.instrument_underlying[i])
    return bool(book.instrument_is_inverse[i])


def option_mark(model: Model, i: int, forward: float, volatility: float, own_move: float = 0.0) -> float:
    """Price of an option in units of its settlement asset, where its forward and volatility are these.

    Its own book moves it as far as arbitrage lets it: not below what exercising is worth, not above the forward (a
    call) or the strike (a put).
    """
    book, years = model.book, model.years[i]
    is_call, strike = bool(book.instrument_is_call[i]), float(book.instrument_strike[i])
    value = option_value(is_call, forward, strike, years, volatility, 1.0)
    least = max(0.0, forward - strike if is_call else strike - forward)
    moved = min(max(value * (1.0 + own_move), least), forward if is_call else strike)
    return moved / forward if is_coin_settled(book, i) else moved


def option_exit(model: Model, i: int, before: Prices, impact: Impact, rules: VenueRules) -> float:
    """Price at which an option is closed: its forward moves with the index, its price with its own book."""
    book = model.book
    u, quote = int(book.instrument_underlying[i]), int(book.instrument_quote[i])
    if rules.close_out_alpha == "vwap":
        share, index, own = 1.0, impact.index_average, impact.own_average[i]
    else:
        share, index, own = rules.close_out_alpha, impact.index, impact.own[i]
    ratio = 1.0 + share * ((1.0 + index[u]) / (1.0 + index[quote]) - 1.0)
    return option_mark(model, i, before.forward[i] * ratio, before.volatility[i], share * own)


def option_delta_usd(model: Model, i: int, prices: Prices) -> float:
    """USD that one unit of size gains where the index doubles, by its delta at these prices.

    A coin-settled option's is net of its own value, which counts as a balance of the coin.
    """
    book, years = model.book, model.years[i]
    is_call, strike = bool(book.instrument_is_call[i]), float(book.instrument_strike[i])
    found = delta(is_call, prices.forward[i], strike, years, prices.volatility[i], 1.0)
    usd = found * prices.forward[i] * prices.asset[book.instrument_quote[i]]
    if is_coin_settled(book, i):
        usd -= prices.mark[i] * prices.asset[book.instrument_settlement[i]]
    return usd


def portfolio_margin(model: Model, p: int, prices: Prices) -> tuple[float, float]:
    """Maintenance and initial margin of a pool in USD, the sum over its risk units; what it has borrowed apart."""
    book = model.book
    venue = int(book.account_venue[book.pool_account[p]])
    maintenance = initial = 0.0
    for u in sorted({int(book.instrument_underlying[book.position_instrument[q]]) for q in model.positions(p)}):
        if (venue, u) not in model.unit_models:
            continue
        required = requirement(model.unit_models[venue, u], *_unit(model, p, u, prices))
        maintenance += required.maintenance_margin
        initial += required.initial_margin
    return maintenance, initial


def _unit(model: Model, p: int, u: int, prices: Prices) -> tuple[list[UnitHolding], UnitMarket]:
    """Return what a pool holds of one underlying: its balance of it, then its positions; and the unit's market.

    The peg is that of the first position that does not pay in the underlying.
    """
    book = model.book
    index, peg = prices.asset[u], 1.0
    spot = UnitInstrument("spot", index)
    holdings = [UnitHolding(spot, float(book.slot_quantity[k])) for k in model.slots(p) if book.slot_asset[k] == u]
    pegged = False
    for q in model.positions(p):
        i = int(book.position_instrument[q])
        if book.instrument_underlying[i] != u:
            continue
        size = float(book.position_quantity[q] * book.instrument_multiplier[i])
        holdings.append(UnitHolding(_instrument(model, i, prices), size))
        if not pegged and not is_coin_settled(book, i):
            peg, pegged = prices.asset[book.instrument_settlement[i]], True
    return holdings, UnitMarket(index, peg)


def _instrument(model: Model, i: int, prices: Prices) -> UnitInstrument:
    book = model.book
    kind = KINDS[int(book.instrument_kind[i])]
    quote_price = prices.asset[book.instrument_quote[i]]
    if kind != "option":
        return UnitInstrument(
            kind,
            prices.mark[i],
            is_coin_settled=is_coin_settled(book, i),
            years=model.years[i],
            quote_price=quote_price,
        )
    return UnitInstrument(
        kind,
        prices.forward[i],
        is_coin_settled=is_coin_settled(book, i),
        years=model.years[i],
        strike=float(book.instrument_strike[i]),
        is_call=bool(book.instrument_is_call[i]),
        volatility=prices.volatility[i],
        quote_price=quote_price,
    )
