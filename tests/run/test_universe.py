"""Two nights on common labels: each is itself again, whatever the other has, and a mixture is what it says."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from strategies import random_case
from support.equality import differences
from support.random_loans import with_loans
from support.random_portfolios import with_portfolios

from riskpipe.domain.changes import PARTS
from riskpipe.errors import StoreError
from riskpipe.liquidation.kernel import Kernel
from riskpipe.run.universe import Inputs, universe_of

EVERYTHING = frozenset(PARTS)
FUNDS = ("funds/shortfall", "funds/fund_used", "funds/adl_loss", "funds/residual")


def inputs_of(case):
    return Inputs(case.book, case.market, case.rules, case.scenarios.variants[0])


def relabelled(book, dimension, change):
    names = [change(n, name) for n, name in enumerate(book.names(dimension))]
    return replace(book, labels={**book.labels, dimension: pa.array(names, pa.string())})


def lives_of(seed):
    """An earlier and a later night: either has contracts, funds and accounts that the other lacks."""
    rng = np.random.default_rng(seed)
    cases = [random_case(seed + n, n_accounts=14, n_instruments=4 + n) for n in (0, 1)]
    if seed % 3 == 1:
        cases = [with_loans(rng, case, 4) for case in cases]
    if seed % 3 == 2:
        cases = [with_portfolios(rng, case) for case in cases]
    one, other = cases
    renamed = relabelled(other.book, "account", lambda n, name: f"new {n}" if n % 3 else name)
    return inputs_of(one), replace(inputs_of(other), book=renamed), one.scenarios


def computed(inputs, scenarios):
    of_one = replace(scenarios, variants=(inputs.variant,), variant=np.zeros(len(scenarios), np.int32),
                     asset_shock=None, instrument_basis_shock=None)  # fmt: skip
    return Kernel(inputs.book, inputs.market, inputs.rules).run(of_one).values


@pytest.mark.parametrize("seed", range(12))
def test_each_night_is_itself_again_on_common_labels(seed):
    earlier, later, scenarios = lives_of(seed)
    universe = universe_of(earlier, later)
    for own, mixed in ((earlier, universe.mixed(frozenset())), (later, universe.mixed(EVERYTHING))):
        alone, again = computed(own, scenarios), computed(mixed, scenarios)
        place = [universe.labels["fund"].index(name) for name in own.book.names("fund")]
        for key in FUNDS:
            assert again[key][:, place] == pytest.approx(alone[key], rel=1e-9, abs=1e-6), key
            assert again[key].sum() == pytest.approx(alone[key].sum(), rel=1e-9, abs=1e-6), "no fund but its own"
        for key in ("system/liquidated_notional", "system/liquidated_accounts", "system/broken_hedge_notional"):
            assert again[key] == pytest.approx(alone[key], rel=1e-9, abs=1e-6), key


@pytest.mark.parametrize("seed", range(6))
def test_every_mixture_can_be_computed_and_indices_stay_within_their_labels(seed):
    earlier, later, scenarios = lives_of(seed)
    universe = universe_of(earlier, later)
    for n in range(2 ** len(PARTS)):
        mixed = universe.mixed(frozenset(part for k, part in enumerate(PARTS) if n >> k & 1))
        book = mixed.book
        for name, dimension in (
            ("position_instrument", "instrument"),
            ("slot_asset", "asset"),
            ("instrument_fund", "fund"),
            ("account_venue", "venue"),
            ("fund_asset", "asset"),
        ):
            assert np.all((getattr(book, name) >= 0) & (getattr(book, name) < len(book.labels[dimension]))), name
        assert len(mixed.rules.venues) == book.n_venues
        assert not np.isnan(mixed.market.index_price).any()
        values = computed(mixed, scenarios)
        assert all(np.isfinite(values[key]).all() for key in FUNDS)


@pytest.mark.parametrize("seed", range(3))
def test_a_night_against_itself_has_changed_in_no_part(seed):
    night, _, scenarios = lives_of(seed)
    universe = universe_of(night, night)
    assert universe.changed == ()
    assert not differences(computed(universe.mixed(EVERYTHING), scenarios), computed(night, scenarios), 1.0)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("prices", lambda one: replace(one, market=replace(one.market, index_price=one.market.index_price * 1.1))),
        ("depth", lambda one: replace(one, market=replace(one.market, depth_bid=one.market.depth_bid * 2.0))),
        ("volatility", lambda one: replace(one, market=replace(
            one.market, option_vol=np.ones_like(one.market.option_vol)))),
        ("parameters", lambda one: replace(one, rules=replace(one.rules, venues=tuple(
            replace(venue, kappa=0.123) for venue in one.rules.venues)))),
        ("parameters", lambda one: replace(one, book=replace(one.book, tier_floor=one.book.tier_floor * 2.0))),
        ("positions", lambda one: replace(one, book=replace(one.book, slot_quantity=one.book.slot_quantity * 2.0))),
        ("positions", lambda one: replace(one, book=replace(one.book, fund_balance=one.book.fund_balance + 1.0))),
    ],
)  # fmt: skip
def test_what_has_changed_is_its_own_part(part, change):
    night, _, _ = lives_of(0)
    assert universe_of(night, change(night)).changed == (part,)


def test_a_contract_whose_terms_have_changed_under_its_name_is_two_contracts():
    night, _, scenarios = lives_of(0)
    other = replace(night, book=replace(night.book, instrument_multiplier=night.book.instrument_multiplier * 2.0))
    universe = universe_of(night, other)
    n = night.book.n_instruments
    assert len(universe.labels["instrument"]) == 2 * n
    assert all(" (until " in name for name in universe.labels["instrument"][n:])
    for own, mixed in ((night, universe.mixed(frozenset())), (other, universe.mixed(EVERYTHING))):
        key = "system/liquidated_notional"
        assert computed(mixed, scenarios)[key] == pytest.approx(computed(own, scenarios)[key], rel=1e-9)


def test_a_contract_that_one_night_lacks_follows_that_nights_index_at_the_basis_of_the_other():
    _, later, _ = lives_of(0)
    book = relabelled(later.book, "instrument", lambda n, name: f"listed {n}" if n == 0 else name)
    moved = replace(later.market, index_price=later.market.index_price * 3.0)
    universe = universe_of(replace(later, market=moved), replace(later, book=book))
    at = universe.labels["instrument"].index("listed 0")
    mixed = universe.mixed(EVERYTHING - {"prices"}).market
    i = 0
    quote, underlying = book.instrument_quote[i], book.instrument_underlying[i]
    expected = moved.index_price[underlying] / moved.index_price[quote] * (1.0 + later.market.basis[i])
    assert mixed.mark_price[at] == pytest.approx(expected, rel=1e-12)
    assert mixed.basis[at] == later.market.basis[i]


def test_nights_of_two_numeraires_are_not_compared():
    night, _, _ = lives_of(0)
    with pytest.raises(StoreError, match="USD and EUR"):
        universe_of(night, replace(night, book=replace(night.book, numeraire="EUR")))
