"""The path that prices took after a night: every hour's moves of each asset and contract, as scenarios."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from riskpipe.calibrate.history import HistoryRows
from riskpipe.calibrate.spreads.prices import PricePanel, price_panel
from riskpipe.domain.book import Book, FloatArray
from riskpipe.domain.market import Market
from riskpipe.domain.scenarios import ScenarioSet, Variant

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ObservedPath:
    """Moves since a night's own prices, hour by hour (h hours, c assets, i instruments).

    `asset_move` [h, c] fractions of the index; `basis_move` [h, i] added to the basis; an hour without a price repeats
    the one before. `still`: assets held that have no price on the whole path, and do not move.
    """

    asset_move: FloatArray
    basis_move: FloatArray
    still: tuple[str, ...]

    @property
    def n_hours(self) -> int:
        """Count the hours."""
        return len(self.asset_move)

    def scenario(self, hour: int, variant: Variant, depth_factor: float) -> ScenarioSet:
        """Return one hour as a scenario of its own."""
        return ScenarioSet(
            index_shock=np.zeros(1),
            basis_shock=np.zeros(1),
            vol_shock=np.zeros(1),
            depth_factor=np.full(1, depth_factor),
            haircut_shock=np.zeros(1),
            probability=np.full(1, np.nan),
            variant=np.zeros(1, dtype=np.int32),
            set_index=np.zeros(1, dtype=np.int32),
            name=np.array([""], dtype=np.str_),
            variants=(variant,),
            sets=("observed",),
            asset_shock=np.ascontiguousarray(self.asset_move[hour : hour + 1]),
            instrument_basis_shock=np.ascontiguousarray(self.basis_move[hour : hour + 1]),
        )


def observed_path(book: Book, market: Market, history: HistoryRows, until: datetime) -> ObservedPath:
    """Return the hours after a book's instant up to another, from guarded prices.

    An index moves as the asset's own series does, else as the index of a contract on it whose quote asset is taken not
    to have moved (the first in canonical order that has prices); relative to the book's own index. A basis is mark over
    index less one, relative to the market's. Volatilities stand still.
    """
    panel, _ = price_panel(history, book.names("instrument"), book.names("asset"))
    start, end = ((instant - _EPOCH).total_seconds() * 1e6 for instant in (book.as_of, until))
    rows = np.flatnonzero((panel.ts_us > start) & (panel.ts_us <= end))
    index = _index_prices(book, market, panel, rows)
    asset_move = _carried(index / market.index_price - 1.0)
    with np.errstate(invalid="ignore"):
        basis_move = _carried(panel.mark[rows] / panel.index[rows] - 1.0 - market.basis)
    basis_move[:, book.is_option] = 0.0
    held = {*book.instrument_underlying[book.position_instrument].tolist(), *book.slot_asset.tolist()}
    lacks = np.isnan(index).all(axis=0) & (market.index_beta != 0.0)
    still = [name for c, name in enumerate(book.names("asset")) if c in held and lacks[c]]
    return ObservedPath(asset_move, basis_move, tuple(still))


def _index_prices(book: Book, market: Market, panel: PricePanel, rows: np.ndarray) -> FloatArray:
    """Index of every asset on the path, USD [h, c]; NaN = no price."""
    made = np.array(panel.asset[rows], dtype=np.float64)
    for i in range(book.n_instruments):
        c = int(book.instrument_underlying[i])
        if np.isnan(made[:, c]).all():
            made[:, c] = panel.index[rows, i] * market.index_price[book.instrument_quote[i]]
    return made


def _carried(moves: FloatArray) -> FloatArray:
    """Moves with holes filled by the last one before, at first 0."""
    filled = np.concatenate([np.zeros((1, moves.shape[1])), moves])
    at = np.where(np.isnan(filled), 0, np.arange(len(filled))[:, None])
    return np.ascontiguousarray(np.take_along_axis(filled, np.maximum.accumulate(at, axis=0), axis=0)[1:])
