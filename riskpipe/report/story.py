"""The story of one account in plain sentences: Markdown that shows every name letter by letter."""

import math
from collections.abc import Iterator

from riskpipe.domain.names import plain
from riskpipe.domain.story import AccountStory, FundStory, HealthAt, LoanStory, PoolStory, PositionStory, PriceStep
from riskpipe.report import numbers
from riskpipe.report.markdown import code, escape

_PAYERS = {
    "fee_offset": "liquidation fees of others",
    "fund_used": "the insurance fund",
    "backstop_loss": "a backstop",
    "adl_loss": "winners, by auto-deleveraging",
    "socialised_loss": "the venue's accounts, as a socialised loss",
    "residual": "nobody",
}
_WHY_OPEN = {
    "exempt": "It fails at the final prices and stays open: its account is exempt from liquidation.",
    "cut off": "It fails at the final prices and stays open: the cascade was cut off at max_rounds.",
    "not worth while": "It can be liquidated at the final prices, but nobody earns from doing it: it stays as it is.",
    "nothing to close": "It fails at the final prices, but holds no position and owes nothing.",
}
_MOST_PRICES = 12  # rounds shown of each contract


def story_lines(story: AccountStory, scenario: str, run: str, *, is_scaled: bool = False) -> list[str]:
    """Tell a story, one Markdown line after the other.

    Parameters
    ----------
    scenario: which one, as `index -20%, depth 0.1x`; escaped here.
    run: which run it is of.
    is_scaled: whether tippings were looked for by scaling the whole scenario, for assets move on their own in it.
    """
    owner = f", owned by {_name(story.entity)}" if story.entity else ""
    segment = f", segment {_name(story.segment)}" if story.segment else ""
    lines = [
        f"# Account {_name(story.account)}: {_outcome(story)}",
        "",
        f"At {_name(story.venue)}{owner}{segment}; run {escape(run)}.",
        f"Scenario {escape(scenario)}. {_cascade(story)}",
    ]
    if story.weight != 1.0:
        lines.append(
            f"The row stands for {numbers.count(story.weight)} accounts alike: health, prices and changes are of one, "
            "forced flow, what auto-deleveraging takes, shortfall and who pays are of all."
        )
    for pool in story.pools:
        lines += ["", *_pool(pool, story)]
    for fund in story.funds:
        lines += ["", *_fund(fund)]
    if not story.closed_in:
        lines += ["", *_survival(story, is_scaled=is_scaled)]
    return lines + _prices(story)


def _outcome(story: AccountStory) -> str:
    closed = [pool for pool in story.pools if pool.closed_in]
    short = f", leaving {_usd(story.shortfall)} that others must pay" if story.shortfall > 0.0 else ""
    if closed:
        of = f"{len(closed)} of {len(story.pools)} pools " if len(closed) < len(story.pools) else ""
        left = [min(pool.loan.debt[2], pool.loan.collateral[2]) for pool in closed if pool.loan]
        part = "in part " if any(usd > 0.0 for usd in left) else ""
        return f"{of}liquidated {part}in round {story.closed_in} of {story.rounds}{short}"
    if story.shortfall > 0.0:
        return f"never liquidated, yet owes {_usd(story.shortfall)} more than its collateral, which others must pay"
    if any(pool.why_open in {"exempt", "cut off", "not worth while"} for pool in story.pools):
        return "fails and is not liquidated"
    if any(position.removed > 0.0 for pool in story.pools for position in pool.positions):
        return "survives, and loses winning positions to auto-deleveraging"
    if any(pool.is_called for pool in story.pools):
        return "survives with a margin call"
    return "survives"


def _cascade(story: AccountStory) -> str:
    if story.rounds == 0:
        return "Nobody is liquidated in it."
    stopped = ", where it was cut off" if story.is_cut_off else ""
    return f"Its cascade takes {numbers.plural(story.rounds, 'round')}{stopped}."


def _pool(pool: PoolStory, story: AccountStory) -> Iterator[str]:
    yield f"**Pool {_name(pool.name)}**" + (" (portfolio margin)" if pool.kind == "portfolio" else "")
    yield ""
    if pool.loan is not None:
        yield from _loan(pool, pool.loan, story)
        return
    yield f"- Before: {_health(pool.before)}"
    yield f"- At the shock: {_health(pool.shocked)}"
    if pool.closed_in:
        hit = "by the shock itself" if pool.closed_in == 1 else "by what forced flow had done to prices by then"
        yield f"- Liquidated in round {pool.closed_in} of {story.rounds}, {hit}: {_health(pool.tested)}"
        if pool.ray_point < 1.0:
            yield f"- Prices slide: it got out where {numbers.share(pool.ray_point)} of the shock had happened."
    else:
        is_taken = any(position.removed > 0.0 for position in pool.positions)
        yield f"- At the end{', before auto-deleveraging' if is_taken else ''}: {_health(pool.tested)}"
        if pool.why_open in _WHY_OPEN:
            yield f"- {_WHY_OPEN[pool.why_open]}"
        if pool.is_called:
            gap = pool.tested.initial_margin - pool.tested.equity
            yield f"- Margin call: {_usd(gap)} short of its initial margin of {_usd(pool.tested.initial_margin)}."
    yield from (_position(position) for position in pool.positions)
    if pool.closed_in:
        fee = f", of which a closing fee takes {_usd(pool.fee)}" if pool.fee > 0.0 else ""
        yield f"- Left when all is closed: {_usd(pool.true_equity)}, no haircuts{fee}."


def _position(position: PositionStory) -> str:
    side = "long" if position.quantity > 0.0 else "short"
    unit = _name(position.price_unit)
    made = f"{'made' if position.change >= 0.0 else 'lost'} {_usd(abs(position.change))}"
    text = (
        f"- {_name(position.instrument)}, {side} {_price(abs(position.quantity))} contracts entered at "
        f"{_price(position.entry_price)} {unit}: mark {_price(position.mark_before)} before, "
        f"{_price(position.mark_shocked)} at the shock, {_price(position.mark_end)} at the end; "
    )
    if not math.isnan(position.exit_price):
        did = "sold" if position.flow < 0.0 else "bought back"
        return text + (
            f"{did} by force ({_usd(abs(position.flow))} at the shocked mark) at {_price(position.exit_price)}, which "
            f"{made} since the snapshot."
        )
    text += f"still open, has {made} since the snapshot."
    if position.removed > 0.0:
        text += (
            f" Auto-deleveraging removes {numbers.share(position.removed)} of the position, "
            f"{_usd(position.removed_notional)} at the final mark, and takes {_usd(position.removed_profit)} of profit."
        )
    return text


def _loan(pool: PoolStory, loan: LoanStory, story: AccountStory) -> Iterator[str]:
    for n, when in enumerate(("Before", "At the shock", "At the end")):
        factor = f"health factor {loan.health_factor[n]:.6g}" if math.isfinite(loan.health_factor[n]) else "no debt"
        yield f"- {when}: collateral {_usd(loan.collateral[n])}, debt {_usd(loan.debt[n])}, {factor}."
    for step in loan.steps:
        yield (
            f"- Round {step.round} of {story.rounds}: {_usd(step.repaid)} of debt repaid, {_usd(step.seized)} of "
            "collateral taken for it."
        )
    if pool.why_open in _WHY_OPEN:
        yield f"- {_WHY_OPEN[pool.why_open]}"
    if pool.shortfall > 0.0:
        yield f"- Debt beyond collateral at the end: {_usd(pool.shortfall)}."


def _fund(fund: FundStory) -> Iterator[str]:
    of = fund.shortfall / fund.fund_shortfall
    yield (
        f"**Who pays.** {_usd(fund.shortfall)} falls to fund {_name(fund.fund)}, {_part(of)} of the "
        f"{_usd(fund.fund_shortfall)} that it is asked for. Pro rata, no account's loss coming first:"
    )
    yield ""
    yield from (f"- {_usd(paid)} by {_PAYERS[stage]}" for stage, paid in fund.paid if paid > 0.0)


def _survival(story: AccountStory, *, is_scaled: bool) -> Iterator[str]:
    if story.is_exempt:
        yield "No distance to liquidation: the account is exempt."
        return
    down, up = story.distance_down, story.distance_up
    alone = [
        f"a {way} of the index of {numbers.share(move)}"
        for way, move in (("fall", down), ("rise", up))
        if not math.isnan(move)
    ]
    yield (
        f"**Distance.** From the snapshot, the index alone, no cascade: {' or '.join(alone)} makes it liquidatable."
        if alone
        else "**Distance.** From the snapshot, no move of the index alone on the run's axis makes it liquidatable."
    )
    for tipping in story.tippings:
        if tipping.axis == "index_shock":
            yield (
                f"In this scenario, an index shock of {_signed(tipping.at)} instead of {_signed(tipping.now)} would "
                "have done it, had forced flow moved prices just as here."
            )
        else:
            yield (
                f"In this scenario, a shock {tipping.at:.6g} times as large in everything would have done it, had "
                "forced flow moved prices just as here."
            )
    if story.tippings and story.rounds:
        yield "The cascade of another shock is another: it may hit this account sooner, or spare it."
    if not story.tippings and any(pool.why_open == "healthy" for pool in story.pools):
        shock = "shock up to 10 times as large in everything" if is_scaled else "index shock within -99% to +200%"
        yield f"In this scenario, no {shock} would have done it, had forced flow moved prices just as here."


def _prices(story: AccountStory) -> list[str]:
    """Marks round by round of each contract that it holds, the middle of long cascades left out."""
    by_name: dict[str, list[PriceStep]] = {}
    for step in story.prices:
        by_name.setdefault(step.instrument, []).append(step)
    if story.rounds == 0 or not by_name:
        return []
    lines = ["", "**Marks by round** (forced flow so far, all accounts; sales are negative)", ""]
    for name, steps in by_name.items():
        half = _MOST_PRICES // 2
        shown = steps if len(steps) <= _MOST_PRICES else [*steps[:half], *steps[-half:]]
        told = [f"{step.round}: {_price(step.mark)} ({_usd(step.flow)})" for step in shown]
        if len(shown) < len(steps):
            told.insert(half, "...")
        lines.append(f"- {_name(name)} {'; '.join(told)}")
    return lines


def _health(health: HealthAt) -> str:
    excess = health.margin_excess
    room = f"{_usd(excess)} to spare" if excess >= 0.0 else f"{_usd(-excess)} short"
    return f"equity {_usd(health.equity)}, maintenance margin {_usd(health.maintenance_margin)}: {room}."


def _name(text: str) -> str:
    return code(plain(text))


def _usd(value: float) -> str:
    if 0.0 < abs(value) < 0.005:
        return f"{'under ' if value > 0.0 else 'minus under '}USD 0.01"
    return f"USD {value + 0.0:,.2f}"  # no negative zero


def _part(share: float) -> str:
    return numbers.share(share) if share >= 1e-6 else "under 0.0001%"


def _price(value: float) -> str:
    return f"{value:,.8g}"


def _signed(value: float) -> str:
    return numbers.share(value, is_signed=True)
