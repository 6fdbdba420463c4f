"""Synthetic snapshots are valid, whole, healthy, reproducible, and shaped like the accounts that were measured."""

import hashlib
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from riskpipe.domain.findings import Severity
from riskpipe.domain.tables import TABLES
from riskpipe.ingest.assemble import assemble
from riskpipe.ingest.read import read_snapshot
from riskpipe.ingest.synthetic.portfolio import LEAST_ACCOUNTS
from riskpipe.ingest.synthetic.price_history import basis_paths, index_paths
from riskpipe.ingest.synthetic.write import write_snapshot

AS_OF = datetime(2024, 8, 5, tzinfo=UTC)


def hashes(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def frames(snapshot: Path) -> dict[str, pd.DataFrame]:
    written = {path.stem for path in snapshot.glob("*.parquet")}
    assert written == TABLES.keys() - {"realised_liquidations"}, "invented accounts have not been liquidated"
    return {name: pq.read_table(snapshot / f"{name}.parquet").to_pandas() for name in TABLES if name in written}


def with_notional(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    prices = usd_prices(tables)
    rows = tables["positions"].merge(tables["instruments"], on="instrument_id").merge(
        tables["quotes"][["instrument_id", "mark_price"]], on="instrument_id"
    ).merge(tables["accounts"], on="account_id", suffixes=("", "_account"))  # fmt: skip
    mark = np.where(rows["is_inverse"], 1.0, rows["mark_price"])
    return rows.assign(
        notional=rows["quantity"].abs() * rows["multiplier"] * mark * rows["quote_asset"].map(prices) * rows["weight"]
    )


def usd_prices(tables: dict[str, pd.DataFrame]) -> dict[str, float]:
    everywhere = tables["prices"][tables["prices"]["venue"].isna()]
    return {"USD": 1.0, **dict(zip(everywhere["asset"], everywhere["index_price"], strict=True))}


@pytest.fixture(scope="module")
def book_of_20000(tmp_path_factory):
    directory = tmp_path_factory.mktemp("levered")
    write_snapshot(directory, n_accounts=20_000, seed=7, as_of=AS_OF, history_days=35)
    return frames(directory / "snapshot")


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_accounts(tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        write_snapshot(tmp_path / name, n_accounts=200, seed=seed, as_of=AS_OF, history_days=35)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "again")
    one, other = hashes(tmp_path / "one"), hashes(tmp_path / "other")
    assert one["snapshot/positions.parquet"] != other["snapshot/positions.parquet"]
    assert one["history.parquet"] != other["history.parquet"]


@pytest.mark.parametrize(
    ("n_accounts", "profile", "seed"),
    [(LEAST_ACCOUNTS, "calm", 5), (21, "levered", 6), (400, "calm", 7), (1000, "levered", 8)],
)
def test_a_snapshot_is_accepted_whole_and_split_by_venue(tmp_path, n_accounts, profile, seed):
    for split in (False, True):
        write_snapshot(
            tmp_path, n_accounts=n_accounts, seed=seed, as_of=AS_OF, profile=profile, history_days=31, split=split
        )
    whole, findings = assemble([read_snapshot(str(tmp_path / "snapshot"))])
    parts, split_findings = assemble([read_snapshot(str(tmp_path / f"snapshot-{name}")) for name in ("alpha", "bravo")])
    for found in (findings, split_findings):
        assert [item.as_json() for item in found if item.severity is not Severity.INFO] == []
    assert whole.n_accounts == parts.n_accounts == n_accounts
    assert whole.n_positions == parts.n_positions
    assert whole.names("venue") == ["alpha", "bravo"]
    assert sorted(whole.names("account")) == sorted(parts.names("account"))
    assert sorted(whole.position_quantity) == sorted(parts.position_quantity)


def test_long_and_short_contracts_balance_in_every_instrument(book_of_20000):
    rows = with_notional(book_of_20000)
    rows["signed"] = rows["quantity"] * rows["weight"]
    by_instrument = rows.groupby("instrument_id")["signed"].agg(net="sum", gross=lambda values: values.abs().sum())
    assert (by_instrument["net"].abs() <= 1e-12 * by_instrument["gross"]).all()
    assert len(by_instrument) == len(book_of_20000["instruments"])
    longs = rows[rows["signed"] > 0].groupby("instrument_id")["signed"].sum()
    reported = book_of_20000["quotes"].set_index("instrument_id")["open_interest"]
    np.testing.assert_allclose(longs.sort_index(), reported.sort_index(), rtol=1e-12)


def slow_health(tables):
    """Return (account, is_isolated, equity, maintenance margin) of every pool: the definitions, row by row."""
    prices = usd_prices(tables)
    venue_prices = {
        (row.venue, row.asset): row.index_price for row in tables["prices"].itertuples() if isinstance(row.venue, str)
    }
    bands, rates, tiers = defaultdict(list), {}, defaultdict(list)
    for row in tables["collateral"].itertuples():
        bands[row.venue, row.asset].append((row.floor_usd, row.haircut))
        rates[row.venue, row.asset] = row.borrow_maintenance_rate
    for row in tables["margin_tiers"].sort_values(["tier_schedule", "floor"]).itertuples():
        tiers[row.tier_schedule].append((row.floor, row.maintenance_rate))

    def credit(venue, asset, quantity):
        if quantity <= 0.0:
            return quantity * prices[asset]
        value = quantity * venue_prices.get((venue, asset), prices[asset])
        rows = bands[venue, asset]
        ceilings = ([floor for floor, _ in rows] + [np.inf])[1:] if rows else []
        return sum(
            (1.0 - haircut) * (min(value, ceiling) - floor)
            for (floor, haircut), ceiling in zip(rows, ceilings, strict=True)
            if value > floor
        )

    def maintenance(schedule, notional):
        """Margin by bands: each slice of the notional at its own tier's rate."""
        rows = tiers[schedule]
        ceilings = [floor for floor, _ in rows[1:]] + [np.inf]
        return sum(
            rate * max(0.0, min(notional, ceiling) - floor)
            for (floor, rate), ceiling in zip(rows, ceilings, strict=True)
        )

    venue_of = dict(zip(tables["accounts"]["account_id"], tables["accounts"]["venue"], strict=True))
    quantity, margin, pools = defaultdict(float), defaultdict(float), []
    for row in tables["balances"].itertuples():
        quantity[row.account_id, row.asset] += row.quantity
    for (account, asset), held in quantity.items():
        margin[account] += rates.get((venue_of[account], asset), 0.0) * max(0.0, -held) * prices[asset]
    positions = tables["positions"].merge(tables["instruments"], on="instrument_id")
    positions = positions.merge(tables["quotes"][["instrument_id", "mark_price"]], on="instrument_id")
    for row in positions.itertuples():
        if row.is_inverse:
            pnl = row.quantity * row.multiplier * (1.0 / row.entry_price - 1.0 / row.mark_price)
            notional = abs(row.quantity) * row.multiplier * prices[row.quote_asset]
        else:
            pnl = row.quantity * row.multiplier * (row.mark_price - row.entry_price)
            notional = abs(row.quantity) * row.multiplier * row.mark_price * prices[row.quote_asset]
        needed = maintenance(row.tier_schedule, notional)
        if np.isnan(row.isolated_margin):
            quantity[row.account_id, row.settlement_asset] += pnl
            margin[row.account_id] += needed
        else:
            equity = credit(venue_of[row.account_id], row.settlement_asset, row.isolated_margin + pnl)
            pools.append((row.account_id, True, equity, needed))
    equity = defaultdict(float)
    for (account, asset), held in quantity.items():
        equity[account] += credit(venue_of[account], asset, held)
    pools.extend((account, False, equity[account], margin[account]) for account in venue_of)
    return pd.DataFrame(pools, columns=["account_id", "is_isolated", "equity", "maintenance_margin"])


@pytest.mark.parametrize("profile", ["calm", "levered"])
def test_reported_equity_and_margin_equal_the_definitions_and_no_pool_is_liquidatable(tmp_path, profile):
    write_snapshot(tmp_path, n_accounts=3000, seed=11, as_of=AS_OF, profile=profile, history_days=31)
    tables = frames(tmp_path / "snapshot")
    pools = slow_health(tables)
    assert pools["is_isolated"].any()
    at_risk = pools[pools["maintenance_margin"] > 0.0]
    assert (at_risk["equity"] > 1.005 * at_risk["maintenance_margin"]).all()
    near = at_risk["equity"] < 1.05 * at_risk["maintenance_margin"]
    assert near.sum() < 0.005 * 3000
    totals = pools.groupby("account_id")[["equity", "maintenance_margin"]].sum()
    reported = tables["accounts"].set_index("account_id").loc[totals.index]
    gross = with_notional(tables).groupby("account_id")["notional"].sum().reindex(totals.index).fillna(0.0)
    scale = totals["equity"].abs() + gross
    assert ((totals["equity"] - reported["reported_equity"]).abs() <= 1e-10 * scale).all()
    difference = (totals["maintenance_margin"] - reported["reported_maintenance_margin"]).abs()
    assert (difference <= 1e-10 * scale).all()


def test_the_population_has_the_measured_shape(book_of_20000):
    rows, accounts = with_notional(book_of_20000), book_of_20000["accounts"]
    unweighted = (rows["notional"] / rows["weight"]).groupby(rows["account_id"]).sum()
    accounts = accounts.assign(gross=accounts["account_id"].map(unweighted).fillna(0.0))
    traders = accounts[accounts["segment"].isin(["retail", "pro"])]
    equity, leverage = traders["reported_equity"], traders["gross"] / traders["reported_equity"]
    assert equity.median() == pytest.approx(np.exp(7.2), rel=0.15)
    assert 0.7 < equity.nlargest(len(equity) // 100).sum() / equity.sum() < 0.9
    assert leverage.median() == pytest.approx(1.0, rel=0.15)
    assert leverage.quantile(0.9) == pytest.approx(7.0, rel=0.15)
    assert 15.0 < leverage.quantile(0.99) < 45.0
    assert equity.rank().corr(leverage.rank()) == pytest.approx(-0.35, abs=0.05)
    assert len(rows) / len(accounts) == pytest.approx(2.5, abs=0.2)
    isolated = rows[rows["isolated_margin"].notna()]
    assert isolated["account_id"].nunique() / len(accounts) == pytest.approx(0.15, abs=0.02)
    longs, shorts = rows[rows["quantity"] > 0], rows[rows["quantity"] < 0]
    n_long, n_short = (
        side[side["segment"].isin(["retail", "pro"])]["account_id"].nunique() for side in (longs, shorts)
    )
    ratio = n_long / n_short
    assert 1.5 < ratio < 2.5
    carry = shorts[(shorts["segment"] == "basis")]
    assert carry["notional"].sum() / shorts["notional"].sum() == pytest.approx(0.2, abs=0.02)
    by_underlying = rows.groupby("underlying")["notional"].sum().nlargest(12)
    assert by_underlying.iloc[:3].sum() / by_underlying.sum() == pytest.approx(0.67, abs=0.12)
    assert (book_of_20000["balances"]["quantity"] < 0.0).any()
    assert 0.01 < (accounts["weight"] > 1.0).mean() < 0.05
    assert accounts.loc[accounts["liquidation_exempt"], "segment"].unique().tolist() == ["market_maker"]
    venues = accounts[accounts["entity_id"].notna()].groupby("entity_id")["venue"].nunique()
    assert (venues > 1).any()


def test_carry_entities_are_nearly_flat_in_their_underlying(book_of_20000):
    tables = book_of_20000
    prices, rows = usd_prices(tables), with_notional(tables)
    rows = rows[rows["segment"] == "basis"]
    signed = (
        rows.assign(delta=np.sign(rows["quantity"]) * rows["notional"])
        .groupby(["entity_id", "underlying"])["delta"]
        .sum()
    )
    owners = tables["accounts"][tables["accounts"]["segment"] == "basis"].set_index("account_id")["entity_id"]
    spot = tables["balances"][tables["balances"]["account_id"].isin(owners.index)]
    spot = spot[~spot["asset"].isin(["USDT", "USDC"])]
    spot = spot.assign(entity_id=spot["account_id"].map(owners), delta=spot["quantity"] * spot["asset"].map(prices))
    spot = spot.rename(columns={"asset": "underlying"}).groupby(["entity_id", "underlying"])["delta"].sum()
    gross = rows.groupby("entity_id")["notional"].sum()
    net = signed.add(spot, fill_value=0.0).abs().groupby("entity_id").sum()
    assert (net <= 0.02 * gross.reindex(net.index) + 1.0).all()


def test_the_history_ends_with_the_quotes(tmp_path):
    write_snapshot(tmp_path, n_accounts=50, seed=1, as_of=AS_OF, history_days=40)
    tables, history = frames(tmp_path / "snapshot"), pq.read_table(tmp_path / "history.parquet").to_pandas()
    assert history["ts"].max() == pd.Timestamp(AS_OF)
    assert history["ts"].nunique() == 40 * 24 + 1
    last = history[history["ts"] == pd.Timestamp(AS_OF)]
    marks = last.dropna(subset="instrument_id").set_index("instrument_id")["mark_price"]
    quoted = tables["quotes"].set_index("instrument_id")["mark_price"]
    np.testing.assert_allclose(marks.sort_index(), quoted.sort_index(), rtol=1e-14)
    spot = last.dropna(subset="asset").set_index("asset")["index_price"]
    assert {asset: price for asset, price in usd_prices(tables).items() if asset != "USD"} == pytest.approx(
        spot.to_dict()
    )


def test_returns_are_fat_tailed_and_correlated_and_a_basis_is_pinned_at_expiry():
    rng = np.random.Generator(np.random.PCG64(3))
    n_hours, correlation = 24 * 365, 0.9
    prices = index_paths(
        rng,
        n_hours=n_hours,
        last_price=np.array([100.0, 10.0]),
        annual_vol=np.array([0.7, 0.9]),
        correlation=np.full(2, correlation),
    )
    assert prices[-1].tolist() == [100.0, 10.0]
    returns = np.diff(np.log(prices), axis=0)
    assert np.corrcoef(returns.T)[0, 1] == pytest.approx(correlation**2, abs=0.06)
    assert returns[:, 0].std() * np.sqrt(8760.0) == pytest.approx(0.7, rel=0.25)
    assert (np.abs(returns[:, 0]) > 4.0 * returns[:, 0].std()).mean() > 5e-4  # a normal has 6e-5
    to_expiry = np.column_stack([np.arange(n_hours - 1)[::-1].astype(float), np.full(n_hours - 1, np.nan)])
    basis = basis_paths(rng, returns=returns, hours_to_expiry=to_expiry)
    assert basis[-1, 0] == 0.0
    assert basis[0, 0] == pytest.approx(0.08, abs=0.05)
    assert np.abs(np.median(basis[:, 1])) < 20e-4
    assert 1e-4 < np.median(np.abs(np.diff(basis[:, 1]))) < 5e-4


def test_impossible_requests_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 20 accounts, got 19"):
        write_snapshot(tmp_path, n_accounts=19, seed=1, as_of=AS_OF)
    with pytest.raises(ValueError, match="calm, levered"):
        write_snapshot(tmp_path, n_accounts=50, seed=1, as_of=AS_OF, profile="wild")
    assert list(tmp_path.iterdir()) == []
