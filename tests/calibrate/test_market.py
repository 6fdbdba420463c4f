"""Market: betas, depths and bases, each by its first route, and a finding for every default."""

from dataclasses import replace

import numpy as np
import pytest
from support.books import AS_OF, book

from riskpipe.calibrate.fits import SeriesFit, fit_here
from riskpipe.calibrate.history import HistoryRows
from riskpipe.calibrate.market import calibrate
from riskpipe.domain.book import InstrumentKind
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.rules import Rules, VenueRules
from riskpipe.errors import ConfigError, InputRefused
from riskpipe.ingest.synthetic.price_history import Series, history_table, hours_until

RULES = Rules((VenueRules("alpha", depth_coefficient=0.5),))
STABLE = {"USDT"}
NAN = np.nan


def run(case, history=None, rules=RULES):
    return calibrate(case, rules, history, stable_assets=STABLE)


def reasons(findings):
    return {item.reason: item for item in findings}


def hourly(instruments, n_hours=200, scale=1e-3):
    rng = np.random.default_rng(5)
    ts_us = hours_until(AS_OF, n_hours)
    basis = rng.normal(0.0, scale, (n_hours, len(instruments)))
    index = np.full(basis.shape, 100.0)
    table = history_table(
        rng,
        Series(ts_us, np.empty((n_hours, 0)), basis, np.full(basis.shape, NAN)),
        instrument_ids=list(instruments),
        index_in_quote=index,
        adv_usd=np.ones(len(instruments)),
        assets=[],
        spot_adv_usd=np.ones(0),
    )
    return HistoryRows(table, AS_OF, 30.0, "", Findings()), basis


def test_betas_are_given_or_zero_for_stable_assets_or_one_with_a_finding():
    market, findings = run(book(index_beta=np.array([NAN, 1.4, NAN, NAN])))
    np.testing.assert_array_equal(market.index_beta, [1.0, 1.4, 0.0, 0.0])
    assert reasons(findings)[Reason.DEFAULT_BETA].examples == ("BTC",)
    market, findings = run(book(index_beta=np.array([0.0, 1.4, 0.3, NAN])))
    np.testing.assert_array_equal(market.index_beta, [0.0, 1.4, 0.3, 0.0])
    assert Reason.DEFAULT_BETA not in reasons(findings)


def test_the_runs_own_betas_win_and_must_name_assets_of_the_book():
    case = book(index_beta=np.array([NAN, 1.4, 0.3, NAN]))
    own = {"BTC": 0.5, "USDT": 1.0}
    market, findings = calibrate(case, RULES, None, stable_assets=STABLE, index_beta=own)
    names = case.names("asset")
    assert {name: market.index_beta[names.index(name)] for name in own} == own
    assert Reason.DEFAULT_BETA not in reasons(findings)
    with pytest.raises(ConfigError, match="not in the book: BTX"):
        calibrate(case, RULES, None, stable_assets=STABLE, index_beta={"BTX": 1.0})


def test_depth_comes_from_the_quote_then_the_table_by_side_then_volume_and_volatility():
    case = book(
        instruments=("QUOTED", "TABLE", "ONE SIDE", "VOLUME"),
        position_instrument=np.array([2, 3], np.int32),
        depth_usd_1pct=np.array([2e6, NAN, NAN, NAN]),
        table_depth_bid=np.array([7.0, 3e8, 4e8, NAN]),
        table_depth_ask=np.array([7.0, 5e8, NAN, NAN]),
        adv_usd=np.array([1e9, 1e9, 1e9, 2e9]),
        daily_vol=np.array([0.05, 0.05, 0.05, 0.04]),
    )
    market, findings = run(case)
    np.testing.assert_allclose(market.depth_bid, [2e8, 3e8, 4e8, 0.5 * 2e9 / 0.04])
    np.testing.assert_allclose(market.depth_ask, [2e8, 5e8, 0.5 * 1e9 / 0.05, 0.5 * 2e9 / 0.04])
    assert reasons(findings)[Reason.DEFAULT_DEPTH].examples == ("ONE SIDE", "VOLUME")


def test_held_instruments_without_any_depth_are_refused_by_name_and_unheld_ones_are_not():
    nothing = {
        "depth_usd_1pct": np.full(3, NAN),
        "adv_usd": np.array([0.0, 1e9, NAN]),
        "daily_vol": np.array([0.1, 0.0, NAN]),
    }
    case = book(instruments=("A", "B", "C"), position_instrument=np.array([0, 1], np.int32), **nothing)
    with pytest.raises(InputRefused) as refused:
        run(case)
    assert len(refused.value.problems) == 2
    assert all(f"instrument '{name}'" in refused.value.problems[at] for at, name in enumerate("AB"))
    case = book(instruments=("A", "B", "C"), **{**nothing, "depth_usd_1pct": np.array([1e6, NAN, NAN])})
    market, _ = run(case)
    assert np.isnan(market.depth_bid[1:]).all()


def test_an_index_without_depth_turns_the_contagion_channel_off_only_where_something_is_held():
    market, findings = run(book(index_depth_usd_1pct=np.array([3e6, NAN, NAN, NAN])))
    np.testing.assert_allclose(market.index_depth, [3e8, NAN, NAN, NAN])
    assert Reason.NO_INDEX_DEPTH not in reasons(findings)  # only BTC is held
    _, findings = run(book(index_depth_usd_1pct=np.full(4, NAN)))
    assert reasons(findings)[Reason.NO_INDEX_DEPTH].examples == ("BTC",)


def test_the_quoted_basis_converts_the_mark_by_its_quote_asset():
    market, _ = run(book())
    np.testing.assert_allclose(market.basis, [50_050 * 0.999 / 50_000 - 1, 2_501 * 0.999 / 2_500 - 1], rtol=1e-14)


def test_a_venues_own_price_is_kept_as_a_ratio_and_one_elsewhere():
    market, _ = run(book(venue_price=np.array([[NAN, 2_450.0, NAN, NAN]])))
    np.testing.assert_array_equal(market.venue_price_ratio, [[1.0, 2_450.0 / 2_500.0, 1.0, 1.0]])


def test_without_history_basis_volatility_is_not_measured_and_says_so():
    market, findings = run(book())
    for name in ("basis_vol_1h", "basis_vol", "basis_news_max", "basis_news_slope"):
        assert np.isnan(getattr(market, name)).all()
    assert not market.basis_observations.any()
    assert reasons(findings)[Reason.NO_HISTORY].severity is Severity.WARNING


def test_statistics_land_on_their_instruments_and_options_have_none():
    kinds = np.array([InstrumentKind.OPTION, InstrumentKind.PERPETUAL, InstrumentKind.FUTURE], np.int32)
    case = book(
        instruments=("OPTION", "ETHUSDT", "BTC-DATED"),
        instrument_kind=kinds,
        position_instrument=np.array([1, 2], np.int32),
    )
    history, basis = hourly(["BTC-DATED", "ETHUSDT", "OPTION"])
    market, findings = run(case, history)
    changes = np.diff(basis, axis=0)
    np.testing.assert_allclose(
        market.basis_realised_vol[:, 0], [NAN, changes[:, 1].std(ddof=1), changes[:, 0].std(ddof=1)]
    )
    np.testing.assert_allclose(market.basis_last, [NAN, basis[-1, 1], basis[-1, 0]], rtol=1e-9)
    np.testing.assert_allclose(market.basis_mean, [NAN, basis[:, 1].mean(), basis[:, 0].mean()], rtol=1e-9)
    np.testing.assert_array_equal(market.basis_observations, [0.0, 199.0, 199.0])
    assert np.isnan(market.basis[0])
    assert np.isnan(market.basis_vol[0]).all()
    np.testing.assert_allclose(market.basis_vol[1:, 0], market.basis_vol_1h[1:], rtol=1e-12)  # EWMA, for 199 changes
    assert reasons(findings)[Reason.UNKNOWN_INSTRUMENT].examples == ("OPTION",)
    assert reasons(findings)[Reason.FALLBACK_ESTIMATOR].examples == (
        "ETHUSDT: ewma used; reverting_mixture: 199 changes observed, 500 needed",
        "BTC-DATED: ewma used; reverting_mixture: 199 changes observed, 500 needed",
    )


def test_an_instrument_that_no_estimator_fits_is_named_and_the_others_keep_theirs():
    history, _ = hourly(["A", "B", "C"])

    def fit(series, asked):
        good = fit_here(series, asked)
        return [
            good[0],
            SeriesFit(refused=("ewma: misses", "realised_24h: misses")),
            replace(good[2], problems=("n_jumps: no",)),
        ]

    case = book(instruments=("A", "B", "C"))
    market, findings = calibrate(case, RULES, history, stable_assets=STABLE, fit=fit)
    assert np.isnan(market.basis_vol[1]).all()
    assert np.isfinite(market.basis_vol[[0, 2]]).all()
    assert np.isfinite(market.basis_vol_1h).all(), "the plain average is there"
    found = reasons(findings)
    assert found[Reason.NO_ESTIMATOR].examples == ("B: ewma: misses | realised_24h: misses",)
    assert found[Reason.FAILED_DIAGNOSTIC].examples == ("C: n_jumps: no",)
    assert found[Reason.FALLBACK_ESTIMATOR].count == 2


def test_rules_and_history_of_another_book_are_refused():
    with pytest.raises(ValueError, match="rules are of venues"):
        run(book(), rules=Rules((VenueRules("beta"),)))
    other = HistoryRows(hourly(["BTCUSDT"])[0].table, AS_OF.replace(hour=1), 30.0, "", Findings())
    with pytest.raises(ValueError, match="history ends at"):
        run(book(), other)
