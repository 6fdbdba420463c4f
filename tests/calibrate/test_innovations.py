"""Innovations: which series a history gives, which hours are whole, and that what is drawn from them looks like it."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from strategies import AS_OF, random_book

from riskpipe.calibrate.history import HistoryRows
from riskpipe.calibrate.innovations import MINIMUM_HOURS, innovations
from riskpipe.domain.findings import Findings, Reason
from riskpipe.domain.tables import HISTORY
from riskpipe.errors import InputRefused
from riskpipe.ingest.synthetic.arrow import arrow_table
from riskpipe.scenarios.simulated import simulated_moves

BETA = np.array([1.0, 1.1, 1.4, 0.0, 0.0])  # BTC, ETH, XRP, USDT, USD
DEGREES = 5
SIGMA = 0.006


def book_of(seed=0):
    return random_book(np.random.default_rng(seed), n_accounts=20)


def rows(name, price, *, mark=None, volume=5.0, end=AS_OF):
    """Hourly rows up to `end`: a spot series of an asset, or with marks those of a contract."""
    n = len(price)
    ts = [end - timedelta(hours=n - 1 - k) for k in range(n)]
    identity = {"instrument_id": [name] * n if mark is not None else [None] * n}
    identity["asset"] = [None] * n if mark is not None else [name] * n
    return {
        "ts": pa.array(ts, pa.timestamp("us", tz="UTC")),
        **identity,
        "mark_price": [None] * n if mark is None else list(mark),
        "index_price": list(price),
        "index_volume_usd": list(np.broadcast_to(volume, n)),
    }


def history_of(*parts, days=100.0, as_of=AS_OF):
    table = pa.concat_tables([arrow_table(HISTORY, part) for part in parts]).sort_by("ts")
    return HistoryRows(table, as_of, days, "", Findings())


def heavy(rng, n):
    return rng.standard_t(DEGREES, n) / np.sqrt(DEGREES / (DEGREES - 2))


def garch(rng, n, *, persistence=0.97, news=0.12):
    """Return moves with volatility that clusters, and the deviations they were drawn with, one more of these."""
    variance, moves, deviations = SIGMA**2, np.empty(n), np.empty(n + 1)
    for t, z in enumerate(heavy(rng, n)):
        deviations[t] = np.sqrt(variance)
        moves[t] = deviations[t] * z
        variance = SIGMA**2 * (1.0 - persistence) + (persistence - news) * variance + news * moves[t] ** 2
    deviations[n] = np.sqrt(variance)
    return moves, deviations


def prices(moves):
    return 100.0 * np.exp(np.concatenate(([0.0], np.cumsum(moves))))


def reverting(rng, n, *, phi=0.7, scale=2e-4):
    level = np.zeros(n)
    for t, z in enumerate(heavy(rng, n - 1), 1):
        level[t] = phi * level[t - 1] + scale * z
    return level


def two_coins(seed, n=2_160, as_of=AS_OF):
    """Two coins that move together by heavy-tailed hours of one size, and the basis of a contract on the first."""
    rng = np.random.default_rng(seed)
    first, own = heavy(rng, n), heavy(rng, n)
    moves = SIGMA * np.stack((first, 0.8 * first + 0.6 * own))
    btc, eth = prices(moves[0]), prices(moves[1])
    basis = reverting(rng, n + 1)
    parts = (rows("BTC", btc), rows("ETH", eth), rows("i0", btc, mark=btc * (1.0 + basis)))
    return history_of(*parts, as_of=as_of), moves, basis


def by_name(found, book):
    assets, instruments = book.names("asset"), book.names("instrument")
    return [assets[c] if c >= 0 else instruments[i] for c, i in zip(found.asset, found.instrument, strict=True)]


def test_the_simulated_hour_has_the_moments_tails_and_correlation_of_the_history():
    history, moves, basis = two_coins(1)
    found, _ = innovations(book_of(), BETA, history)
    drawn = simulated_moves(found, 20_000, 1, 1)
    for k in range(2):
        simulated = np.log1p(drawn[:, k])
        assert abs(simulated.mean()) < 0.05 * SIGMA
        assert simulated.std() == pytest.approx(moves[k].std(), rel=0.12)
        ratio = moves[k].std() / simulated.std()
        for level in (0.005, 0.01, 0.05, 0.95, 0.99, 0.995):  # the shape, apart from how large an hour is now
            share = np.mean(simulated * ratio <= np.quantile(moves[k], level))
            assert share == pytest.approx(level, abs=max(0.0025, 0.2 * min(level, 1.0 - level)))
    pair = np.corrcoef(np.log1p(drawn[:, 0]), np.log1p(drawn[:, 1]))[0, 1]
    assert pair == pytest.approx(np.corrcoef(moves)[0, 1], abs=0.03)
    assert drawn[:, 2].std() == pytest.approx(np.diff(basis).std(), rel=0.2)
    day = simulated_moves(found, 20_000, 24, 1)
    assert day[:, 2].std() == pytest.approx(basis.std(), rel=0.2), (
        "from where it stands, a basis spreads to its level's"
    )


def test_value_at_risk_of_the_simulated_hour_is_hit_as_often_as_it_says_while_volatility_clusters():
    book, covered, deviations_now = book_of(), [], []
    for seed in range(24):
        moves, deviations = garch(np.random.default_rng(seed), 1_500)
        found, _ = innovations(book, BETA, history_of(rows("BTC", prices(moves)), days=70.0))
        drawn = np.log1p(simulated_moves(found, 4_000, 1, seed)[:, 0])
        scale = deviations[-1] / np.sqrt(DEGREES / (DEGREES - 2))
        covered.append([stats.t.cdf(np.quantile(drawn, level) / scale, DEGREES) for level in (0.01, 0.05, 0.95, 0.99)])
        deviations_now.append((drawn.std(), deviations[-1]))
    assert np.mean(covered, axis=0) == pytest.approx([0.01, 0.05, 0.95, 0.99], abs=0.012)
    assert np.corrcoef(np.log(deviations_now).T)[0, 1] > 0.8, "it stands where volatility stands now"


def test_only_hours_up_to_as_of_in_which_every_series_has_one_are_drawn():
    history, *_ = two_coins(2)
    found, _ = innovations(book_of(), BETA, history)
    end = round(AS_OF.timestamp() * 1e6)
    assert found.hour_us.max() == end
    assert np.all((end - found.hour_us) % 3_600_000_000 == 0)
    table = history.table
    is_gap = np.isin(np.arange(table.num_rows), np.arange(3_000, 3_003))
    gap_hours = np.unique(table["ts"].cast(pa.int64()).to_numpy()[is_gap])
    holed = HistoryRows(table.filter(pa.array(~is_gap)), AS_OF, history.lookback_days, "", Findings())
    with_gap, _ = innovations(book_of(), BETA, holed)
    assert not np.isin(gap_hours, with_gap.hour_us).any()
    assert 0 < len(found.hour_us) - len(with_gap.hour_us) <= 6
    assert np.isfinite(with_gap.z).all()


def test_hours_are_those_of_the_minute_at_which_the_history_stands():
    half_past = AS_OF + timedelta(minutes=30)
    whole, *_ = two_coins(7)
    found, _ = innovations(book_of(), BETA, whole)
    later, _ = innovations(book_of(), BETA, HistoryRows(whole.table, half_past, 100.0, "", Findings()))
    assert np.array_equal(later.hour_us, found.hour_us)
    assert np.array_equal(later.z, found.z)


def test_an_index_that_stands_still_or_stops_in_the_next_hour_moves_nothing():
    rng = np.random.default_rng(3)
    btc = prices(SIGMA * heavy(rng, 1_000))
    volume = np.full(1_001, 5.0)
    volume[500:503] = 0.0
    btc[499] *= 1.5  # the last price before the index stops may be from any time
    found, _ = innovations(book_of(), BETA, history_of(rows("BTC", btc, volume=volume)))
    hours = (found.hour_us.max() - found.hour_us) // 3_600_000_000
    assert not set(range(1000 - 503, 1000 - 498)) & set(hours.tolist())
    assert np.abs(found.z).max() < 20.0


def test_what_has_no_history_is_left_out_and_told():
    book = book_of()
    history, *_ = two_coins(4)
    found, findings = innovations(book, BETA, history)
    assert by_name(found, book) == ["BTC", "ETH", "i0"]
    assert by_name(found, book)[found.market] in {"BTC", "ETH"}
    short = {item.message: item for item in findings if item.reason is Reason.SHORT_HISTORY}
    assert {example for item in short.values() for example in item.examples} == {"XRP", "i1", "i2", "i3", "i4"}
    told = [item for item in findings if item.reason is Reason.OBSERVED_MOVES]
    assert len(told) == 1
    assert "cascades" in told[0].message


def test_an_asset_without_spot_rows_moves_with_the_index_of_a_contract_on_it():
    book = book_of()
    quoted = BETA[book.instrument_quote] == 0.0
    i = int(np.flatnonzero(quoted)[0])
    c, name = int(book.instrument_underlying[i]), book.names("instrument")[i]
    moves = SIGMA * heavy(np.random.default_rng(5), 1_000)
    price = prices(moves)
    found, _ = innovations(book, BETA, history_of(rows(name, price, mark=price * 1.001)))
    assert found.asset.tolist() == [c]
    z = found.z[:, 0]
    assert np.corrcoef(z, moves[-len(z) :])[0, 1] > 0.97


def test_a_trend_of_the_look_back_is_no_forecast():
    moves = SIGMA * (heavy(np.random.default_rng(8), 1_500) + 0.3)
    found, _ = innovations(book_of(), BETA, history_of(rows("BTC", prices(moves))))
    drawn = np.log1p(simulated_moves(found, 10_000, 1, 1)[:, 0])
    assert abs(drawn.mean()) < 0.05 * drawn.std()


@pytest.mark.parametrize("n_hours", [400, 1_500])  # too few for the mixture: an average and one level
def test_a_basis_far_from_its_level_now_is_expected_back(n_hours):
    rng = np.random.default_rng(9)
    btc = prices(SIGMA * heavy(rng, n_hours - 1))
    basis = reverting(rng, n_hours)
    basis[-1] = 0.002
    found, _ = innovations(book_of(), BETA, history_of(rows("BTC", btc), rows("i0", btc, mark=btc * (1.0 + basis))))
    assert simulated_moves(found, 500, 24, 1)[:, 1].mean() < -0.0008


def test_the_index_of_a_contract_quoted_in_what_moves_is_not_taken_for_a_price():
    book, price = book_of(), prices(SIGMA * heavy(np.random.default_rng(10), 1_000))
    parts = [rows(name, price, mark=price) for name in book.names("instrument")]
    innovations(book, BETA, history_of(*parts))
    with pytest.raises(InputRefused, match="no asset that follows the index axis"):
        innovations(book, np.array([1.0, 1.1, 1.4, 1.0, 1.0]), history_of(*parts))


def test_a_history_too_short_or_of_nothing_that_moves_is_refused():
    btc = prices(SIGMA * heavy(np.random.default_rng(6), MINIMUM_HOURS - 2))
    with pytest.raises(InputRefused, match="hours have innovations of all"):
        innovations(book_of(), BETA, history_of(rows("BTC", btc)))
    with pytest.raises(InputRefused, match="no asset that follows the index axis"):
        innovations(book_of(), BETA, history_of(rows("USDT", btc)))
