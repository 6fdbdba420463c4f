"""Sentences of a story: what happened is said, and no name from data does anything where it is shown."""

from dataclasses import replace

import numpy as np
from markdown_it import MarkdownIt

from riskpipe.domain.story import (
    AccountStory,
    FundStory,
    HealthAt,
    LoanStep,
    LoanStory,
    PoolStory,
    PositionStory,
    PriceStep,
    Tipping,
)
from riskpipe.report.story import story_lines

HOSTILE = (
    "<script>alert(1)</script>",
    "\x1b[31mred\x1b[0m",
    "[red]bold[/red]",
    "``` `x` [link](http://evil) ![i](x)",
    "a\r\n# heading\n- item | cell",
    "\u202egnp.exe\u200b",
    "@channel *b* _i_ &lt;",
)


def position(**changes):
    given = PositionStory("BTC-PERP", 10.0, "USDT", 100.0, 100.0, 70.0, 65.0, 65.0, -700.0, -350.0, 0.0, 0.0, 0.0)
    return replace(given, **changes)


def pool(**changes):
    given = PoolStory(
        name="cross", kind="margin", before=HealthAt(200.0, 50.0, 100.0), shocked=HealthAt(-100.0, 35.0, 70.0),
        tested=HealthAt(-100.0, 35.0, 70.0), closed_in=2, why_open="", is_called=False, ray_point=1.0,
        true_equity=-150.0, fee=0.0, shortfall=150.0, positions=(position(),),
    )  # fmt: skip
    return replace(given, **changes)


def story(**changes):
    given = AccountStory(
        account="a1", venue="alpha", entity="", segment="retail", weight=1.0, is_exempt=False, rounds=3,
        is_cut_off=False, pools=(pool(),),
        funds=(FundStory("main", 150.0, 600.0, (("fee_offset", 10.0), ("fund_used", 40.0), ("residual", 100.0))),),
        prices=tuple(PriceStep("BTC-PERP", n, 70.0 - n, -100.0 * n) for n in range(4)), tippings=(),
        distance_down=np.nan, distance_up=np.nan,
    )  # fmt: skip
    return replace(given, **changes)


def said(of, **how):
    return "\n".join(story_lines(of, "3 (index -30%)", "run-1", **how))


def alive(**changes):
    return pool(closed_in=0, why_open="healthy", tested=HealthAt(90.0, 35.0, 70.0), true_equity=np.nan, shortfall=0.0,
                positions=(position(exit_price=np.nan, flow=0.0),), **changes)  # fmt: skip


def test_names_from_data_are_shown_letter_by_letter_and_do_nothing():
    engine = MarkdownIt("commonmark", {"html": True})
    for name in HOSTILE:
        told = said(
            story(
                account=name, venue=name, entity=name, segment=name,
                pools=(pool(name=name, positions=(position(instrument=name, price_unit=name),)),),
                funds=(FundStory(name, 1.0, 2.0, (("residual", 1.0),)),), prices=(PriceStep(name, 0, 1.0, 0.0),),
            )
        )  # fmt: skip
        assert all(letter.isprintable() or letter == "\n" for letter in told)
        page = engine.render(told)
        assert not any(tag in page for tag in ("<script", "<a ", "<img", "<em", "<table", "\x1b"))
        assert page.count("<h1>") == 1
        plain = engine.render(said(story()))
        assert page.count("<li>") == plain.count("<li>") - 2
        assert page.count("<strong>") == plain.count("<strong>")


def test_a_liquidated_account_is_told_its_round_its_exit_and_who_paid():
    told = said(story())
    assert "liquidated in round 2 of 3, leaving USD 150.00 that others must pay" in told
    assert "sold by force (USD 700.00 at the shocked mark) at 65, which lost USD 350.00" in told
    assert "USD 150.00 falls to fund `main`, 25% of the USD 600.00" in told
    assert "- USD 40.00 by the insurance fund" in told
    assert "- USD 100.00 by nobody" in told
    assert "by what forced flow had done to prices by then" in told


def test_a_survivor_is_told_its_distance_and_the_shock_that_would_do_it():
    told = said(story(pools=(alive(),), funds=(), distance_down=0.12, tippings=(Tipping("index_shock", -0.3, -0.42),)))
    assert "# Account `a1`: survives\n" in told
    assert "a fall of the index of 12% makes it liquidatable" in told
    assert "an index shock of -42% instead of -30% would have done it" in told


def test_a_shock_that_would_do_it_promises_nothing_of_the_cascade_that_it_would_have():
    tipping = Tipping("index_shock", -0.3, -0.42)
    told = said(story(pools=(alive(),), funds=(), tippings=(tipping,)))
    assert "had forced flow moved prices just as here" in told
    assert "it may hit this account sooner, or spare it" in told
    assert "cascade of another" not in said(story(pools=(alive(),), funds=(), tippings=(tipping,), rounds=0))


def test_where_assets_move_on_their_own_no_index_shock_is_said_to_have_been_tried():
    of = story(pools=(alive(),), funds=())
    assert "no index shock within -99% to +200%" in said(of)
    told = said(of, is_scaled=True)
    assert "index shock within" not in told
    assert "no shock up to 10 times as large in everything" in told


def test_what_auto_deleveraging_takes_is_told_apart_from_what_the_position_made_and_from_health():
    taken = position(exit_price=np.nan, removed=0.1, removed_notional=5.0, removed_profit=2.0)
    told = said(story(pools=(replace(alive(), positions=(taken,)),), funds=(), weight=7.0))
    assert "removes 10% of the position, USD 5.00" in told
    assert "At the end, before auto-deleveraging: equity USD 90.00" in told
    assert "what auto-deleveraging takes, shortfall and who pays are of all" in told
    assert "before auto-deleveraging" not in said(story(pools=(alive(),), funds=()))


def test_every_other_way_to_end_is_said_in_the_first_line():
    called = replace(alive(), is_called=True, tested=HealthAt(50.0, 35.0, 70.0))
    assert "survives with a margin call" in said(story(pools=(called,), funds=()))
    assert "Margin call: USD 20.00 short of its initial margin of USD 70.00" in said(story(pools=(called,), funds=()))
    winner = replace(
        alive(), positions=(position(exit_price=np.nan, removed=0.1, removed_notional=5.0, removed_profit=2.0),)
    )
    told = said(story(pools=(winner,), funds=()))
    assert "loses winning positions to auto-deleveraging" in told
    assert "removes 10% of the position, USD 5.00 at the final mark, and takes USD 2.00 of profit" in told
    for why, words in (("exempt", "exempt from liquidation"), ("cut off", "cut off at max_rounds")):
        told = said(story(pools=(replace(alive(), why_open=why),), funds=(), is_cut_off=why == "cut off"))
        assert "fails and is not liquidated" in told
        assert words in told
    assert "2 of 2" not in said(story(pools=(alive(), pool())))
    assert "1 of 2 pools liquidated in round 2" in said(story(pools=(alive(), pool())))
    assert "stands for 7 accounts alike" in said(story(weight=7.0))


def test_a_loan_is_told_its_health_its_liquidations_and_what_it_still_owes():
    loan = LoanStory((1500.0, 1000.0, 480.0), (900.0, 900.0, 500.0), (1.3, 0.9, 0.8), (LoanStep(1, 400.0, 420.0),))
    told = said(
        story(pools=(pool(name="loan", kind="loan", loan=loan, closed_in=1, shortfall=20.0, positions=()),), prices=())
    )
    assert "liquidated in part in round 1 of 3" in told
    assert "At the shock: collateral USD 1,000.00, debt USD 900.00, health factor 0.9." in told
    assert "Round 1 of 3: USD 400.00 of debt repaid, USD 420.00 of collateral taken for it." in told
    assert "Debt beyond collateral at the end: USD 20.00" in told
    idle = replace(loan, steps=())
    told = said(
        story(pools=(replace(alive(), kind="loan", loan=idle, why_open="not worth while", shortfall=20.0),), prices=())
    )
    assert "never liquidated, yet owes USD 20.00 more than its collateral" in told
    assert "nobody earns from doing it" in told
