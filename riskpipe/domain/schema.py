"""The cube's schema: every dimension and variable, with dims, dtype, unit, sign and long name.

Everything stored is float64 except labels (variable-length strings) and the indices named here. The template is made
from this table, `verify` checks against it, and the report takes units and names from it.
"""

from dataclasses import dataclass
from typing import Literal

from riskpipe.domain.bearers import ADL_VARIABLES
from riskpipe.domain.holdings import BOOK_VARIABLES

CUBE_FORMAT_VERSION = 1
N_RANKS = 10
N_CONTRIBUTORS = 20


@dataclass(frozen=True)
class Dimension:
    """A dimension of the cube and what labels it."""

    name: str
    long_name: str


@dataclass(frozen=True)
class Variable:
    """A variable of the cube. `per_block` variables are written by blocks, the others once by the night."""

    group: str
    name: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    sign: Literal["signed", "non-negative", "label"] = "non-negative"
    dtype: Literal["float64", "string", "int64"] = "float64"
    per_block: bool = False

    @property
    def key(self) -> str:
        """Group and name, as in `exposure/liquidated_positions`."""
        return f"{self.group}/{self.name}"


DIMENSIONS: dict[str, Dimension] = {
    dimension.name: dimension
    for dimension in (
        Dimension("scenario", "labelled joint shock; its axes are coordinates"),
        Dimension("venue", "venue"),
        Dimension("underlying", "asset whose index an instrument follows"),
        Dimension("fund", "insurance fund, or the venue where it lists none"),
        Dimension("instrument", "perpetual or future"),
        Dimension("rank", "position in a list of the ten largest, 1 = largest"),
        Dimension("horizon", "time over which a basis change is measured"),
        Dimension("estimator", "how basis volatility is estimated"),
        Dimension("tail", "tail of basis changes whose value at risk is put to the test"),
        Dimension("pair", "two prices whose ratio is watched: first leg / second leg"),
        Dimension("mover", "what moves alone: the index, or one asset"),
        Dimension("depth", "factor that multiplies every depth"),
        Dimension("account", "account of the book"),
        Dimension("segment", "segment of accounts; empty = none"),
        Dimension("contributor", "place in a list of the largest contributions, 1 = largest"),
        Dimension("view", "scenarios over which it is told who bears auto-deleveraging: a tail, the worst one"),
        Dimension("set", "scenario set: grid, historical, simulated"),
        Dimension("holding", "what owners are ranked by"),
        Dimension("direction", "direction of a move: down or up"),
        Dimension("level", "price level relative to the mark; passed = failing at the mark already"),
        Dimension("share", "share of accounts"),
        Dimension("other_venue", "another venue"),
    )
}


def _block(
    group: str, dims: tuple[str, ...], name: str, units: str, long_name: str, sign: str = "non-negative"
) -> Variable:
    return Variable(group, name, ("scenario", *dims), units, long_name, sign, per_block=True)  # type: ignore[arg-type]


def _once(group: str, dims: tuple[str, ...], name: str, units: str, long_name: str, sign: str = "non-negative",
          dtype: str = "float64") -> Variable:  # fmt: skip
    return Variable(group, name, dims, units, long_name, sign, dtype)  # type: ignore[arg-type]


_EXPOSURE = ("venue", "underlying")
_SCORED = ("instrument", "estimator")
_WALKS = ("mover", "direction", "depth", "fund")
# name, units, long name, sign, type
_FIT_DIAGNOSTICS = (
    ("misfit", "1", "mean square of standardised innovations of the estimator used"),
    ("half_life", "h", "half-life of the basis by an AR(1) of its level"),
    ("stationary_deviation", "1", "standard deviation of the basis in the long run, by the same AR(1)"),
    ("jump_share", "1", "share of the variance of changes that comes in jumps"),
    ("n_jumps", "1", "innovations beyond five standard deviations"),
    ("arch_p", "1", "p-value of no clusters left in squared standardised innovations (ARCH-LM, 24 lags)"),
    ("ljung_box_p", "1", "p-value of no correlation left in standardised innovations (Ljung-Box, 24 lags)"),
    ("tail_shape_lower", "1", "shape of the lower tail of standardised innovations (peaks over threshold)", "signed"),
    ("tail_shape_upper", "1", "shape of the upper tail of standardised innovations (peaks over threshold)", "signed"),
    ("degrees_of_freedom", "1", "degrees of freedom of the fitted GARCH's Student t"),
    ("calm_share", "1", "next hour's basis variance after an hour without an index move, over its average; estimate"),
    ("crash_coefficient", "1", "the same variance, what it is more per unit of index fall; estimate", "signed"),
    ("crash_t", "1", "its t-value; the coefficient is used where this is above 1.96", "signed"),
    ("rally_coefficient", "1", "the same variance, what it is more per unit of index rise; estimate", "signed"),
    ("rally_t", "1", "its t-value; the coefficient is used where this is above 1.96", "signed"),
)
_SCORES = (
    ("qlike", "1", "mean of ln h + change^2 / h over the hours scored", "signed"),
    ("gain_168h", "1", "QLIKE less that of the deviation of the last 168 changes; below 0 = better", "signed"),
    ("gain_168h_t", "1", "its t-value", "signed"),
    ("gain_24h", "1", "QLIKE less that of the deviation of the last 24 changes; below 0 = better", "signed"),
    ("gain_24h_t", "1", "its t-value", "signed"),
    ("verdict", "1", "passes, fails or not checked", "label", "string"),
    ("reason", "1", "what fails, or why it is not checked", "label", "string"),
)
_TAIL_SCORES = (
    ("hits", "1", "hours in which the change was beyond the value at risk"),
    ("kupiec_p", "1", "p-value of as many hits as there should be (Kupiec)"),
    ("independence_p", "1", "p-value of hits independent of the one before (Christoffersen)"),
    ("conditional_p", "1", "p-value of both at once (Christoffersen)"),
    (
        "shortfall_z",
        "1",
        "Acerbi and Szekely's second statistic; below 0 = larger losses than forecast",
        "signed",
    ),
    ("shortfall_p", "1", "its p-value"),
    ("tail_verdict", "1", "passes, fails or not checked", "label", "string"),
)
_SPREADS = (
    (
        "kind",
        "1",
        "what the legs are: perpetual_index, future_index, cross_venue, calendar, asset_ratio",
        "label",
        "string",
    ),
    ("first", "1", "first leg", "label", "string"),
    ("second", "1", "second leg", "label", "string"),
    ("underlying", "1", "what both legs follow", "label", "string"),
    ("spread", "1", "price of the first leg over that of the second, minus 1, from the quotes at as_of", "signed"),
    ("last_history_spread", "1", "last spread of the price history", "signed"),
    ("mean_spread", "1", "mean spread over the look-back", "signed"),
    ("observations", "1", "hourly changes used"),
    ("gap", "1", "rich leg over cheap leg, minus 1, beyond the spread that there should be"),
    ("closing_flow", "USD", "sold of the rich and bought of the cheap leg, closes the gap down to the fees"),
    ("estimator_used", "1", "estimator behind the volatility; empty = none", "label", "string"),
    ("problems", "1", "measures that failed, and why", "label", "string"),
    ("half_life", "h", "time in which half of what is beyond the carry goes away, noise of single hours taken out"),
    ("half_life_low", "h", "lower end of its 95% interval"),
    ("half_life_high", "h", "upper end of its 95% interval"),
    *(
        (f"correlation_{regime}{end}", "1", f"{what} of hourly changes with the index's returns in {hours}", sign)
        for regime, hours in (
            ("calm", "hours of calm index"),
            ("stressed", "the tenth of hours with the most volatile index"),
            ("crash", "hours in which the index fell by more than 3%"),
        )
        for end, what, sign in (
            ("", "correlation", "signed"),
            ("_error", "standard error of the correlation", "non-negative"),
        )
    ),
    ("common_share", "1", "share of the slow level's variance that the common factor of all bases explains"),
    ("gross_carry", "1", "a year, of the side that carries more: funding, and the basis that goes away", "signed"),
    ("carry_fees", "1", "a year: fees of both legs, in and out"),
    ("net_carry", "1", "a year: gross carry less fees and financing", "signed"),
    ("break_even_days", "1", "days until carry has paid the fees; infinite where it never does"),
    ("trade_side", "1", "side of the first leg that carries more: -1 short, +1 long", "signed"),
    ("open_interest", "USD", "held of the pair's contracts by the book, both sides"),
    ("neutral_interest", "USD", "of it held by delta-neutral owners; a lower bound where owners are unknown"),
    ("neutral_share", "1", "the same as a share"),
    ("unknown_share", "1", "share held by accounts without a known owner"),
)
_SPREADS_BY_HORIZON = (
    ("spread_vol", "1", "standard deviation of changes of the spread beyond its carry over the horizon"),
    ("widening_score", "1", "latest move over the horizon less the one expected, in standard deviations", "signed"),
    ("is_widening", "1", "1 where that is beyond 3 and away from the usual level"),
    ("hedge_ratio", "1", "USD of the second leg sold against each USD of the first with least variance", "signed"),
    ("hedge_effectiveness", "1", "share of variance that this takes away"),
    ("hedge_deviation", "1", "standard deviation of what is left, share of notional"),
    ("hedge_loss_99", "1", "loss of what is left that one window in a hundred exceeds, share of notional", "signed"),
    ("exhaustion", "1", "probability that the trade that carries more is out of margin within the horizon"),
    ("exhaustion_error", "1", "its standard error by simulation"),
)
# of the expected shortfall of all funds together; NaN and empty where no set has probabilities
_ATTRIBUTION = (
    (("set",), "level", "1", "level of the expected shortfall that is attributed; NaN = not attributed"),
    (("set",), "tail_scenarios", "1", "scenarios of its tail that lose anything, computed again account by account"),
    (("fund",), "fund_contribution", "USD", "what the fund adds to expected shortfall"),
    (("fund",), "debt_contribution", "USD", "of it, from debts that no position carries"),
    (("venue",), "venue_contribution", "USD", "what accounts of the venue add to expected shortfall"),
    (("underlying",), "underlying_contribution", "USD", "what positions on the underlying add to expected shortfall"),
    (("segment",), "segment_contribution", "USD", "what accounts of the segment add to expected shortfall"),
    (("contributor",), "account_name", "1", "account of one owner; empty = no more", "label", "string"),
    (("contributor",), "account_contribution", "USD", "what the account adds to expected shortfall"),
    (("contributor",), "entity_name", "1", "beneficial owner; empty = no more", "label", "string"),
    (("contributor",), "entity_contribution", "USD", "what its accounts add to expected shortfall"),
    (("contributor",), "without_entity", "USD", "mean of the same tail without its accounts; NaN = not computed"),
)
VARIABLES: dict[str, Variable] = {
    variable.key: variable
    for variable in (
        _block(
            "exposure",
            _EXPOSURE,
            "liquidated_notional_long",
            "USD",
            "long notional closed by force, at the shocked mark",
        ),
        _block(
            "exposure",
            _EXPOSURE,
            "liquidated_notional_short",
            "USD",
            "short notional closed by force, at the shocked mark",
        ),
        _block("exposure", _EXPOSURE, "liquidated_positions", "1", "positions closed by force, weighted"),
        _block("funds", ("fund",), "shortfall", "USD", "losses of closed pools beyond their own collateral"),
        _block("funds", ("fund",), "fee_offset", "USD", "shortfall paid from liquidation fees collected"),
        _block("funds", ("fund",), "fund_used", "USD", "shortfall paid by the insurance fund"),
        _block("funds", ("fund",), "backstop_loss", "USD", "shortfall taken by a backstop"),
        _block("funds", ("fund",), "adl_loss", "USD", "profit taken from winners by auto-deleveraging"),
        _block("funds", ("fund",), "adl_notional", "USD", "notional removed by auto-deleveraging, at the final mark"),
        _block("funds", ("fund",), "socialised_loss", "USD", "shortfall spread over the venue's accounts"),
        _block("funds", ("fund",), "residual", "USD", "shortfall nobody has paid"),
        _block(
            "funds", ("fund",), "fund_balance", "USD", "insurance fund before use, at final prices, after its haircut"
        ),
        _block("instruments", ("instrument",), "forced_flow", "USD", "net forced flow at the shocked mark", "signed"),
        _block("instruments", ("instrument",), "impact", "1", "fill price over shocked mark, minus 1", "signed"),
        _block("instruments", ("instrument",), "mark_price", "quote units", "final mark"),
        _block(
            "instruments",
            ("instrument",),
            "dislocation",
            "1",
            "mark's response to the instrument's own impact",
            "signed",
        ),
        _block(
            "instruments",
            ("instrument",),
            "basis",
            "1",
            "final mark over final index, minus 1; NaN = an option, which has none",
            "signed",
        ),
        _block(
            "instruments",
            ("instrument", "horizon"),
            "basis_vol",
            "1",
            "conditional standard deviation of basis changes after the scenario",
        ),
        _block(
            "instruments",
            ("instrument",),
            "basis_vol_is_extrapolated",
            "1",
            "1 where the move of the basis, or of the index where it matters, is beyond any of the sample",
        ),
        _block("system", (), "liquidated_accounts", "1", "accounts with a closed pool, weighted"),
        _block(
            "system", (), "margin_call_accounts", "1", "accounts above maintenance and below initial margin, weighted"
        ),
        _block("system", (), "liquidated_notional", "USD", "notional closed by force, at the shocked mark"),
        _block("system", (), "first_round_notional", "USD", "notional closed by force in the first round"),
        _block("system", (), "rounds", "1", "rounds in which some pool was closed"),
        _block(
            "system", (), "underwater_debt", "USD", "debt of lending pools beyond their collateral, at final prices"
        ),
        _block("system", (), "broken_hedge_notional", "USD", "growth of entities' absolute delta by the closings"),
        _block("system", (), "price_limits_hit", "1", "impact laws stopped at their floor or cap"),
        _block("system", (), "max_rounds_hit", "1", "1 where the cascade was cut off at max_rounds"),
        _block("entities", ("fund", "rank"), "entity_shortfall", "USD", "shortfall of the entity of this rank"),
        _block("entities", ("fund", "rank"), "entity_uncovered_loss", "USD", "its part of the fund's uncovered loss"),
        _block("entities", ("fund", "rank"), "entity", "1", "index of the entity; -1 = none", "label"),
        _once(
            "basis",
            ("instrument", "estimator", "horizon"),
            "basis_vol",
            "1",
            "standard deviation of basis changes over the horizon",
        ),
        _once("basis", ("instrument",), "basis", "1", "basis at as_of from the quotes", "signed"),
        _once("basis", ("instrument",), "mean_basis", "1", "mean basis over the look-back", "signed"),
        _once("basis", ("instrument",), "last_history_basis", "1", "last basis of the price history", "signed"),
        _once("basis", ("instrument",), "observations", "1", "hourly basis changes used"),
        _once("basis", ("instrument",), "innovation_max", "1", "largest standardised innovation of the look-back"),
        _once(
            "basis",
            ("instrument",),
            "estimator_used",
            "1",
            "estimator behind the volatility after scenarios; empty = none",
            "label",
            "string",
        ),
        _once(
            "basis",
            ("instrument",),
            "estimators_refused",
            "1",
            "estimators that are not used, and why",
            "label",
            "string",
        ),
        *(_once("basis", ("instrument",), *about) for about in _FIT_DIAGNOSTICS),
        _once("validation", ("instrument",), "hours_fitted", "1", "hourly changes that estimators were fitted on"),
        _once("validation", ("instrument",), "hours_scored", "1", "hourly changes after them, forecast and scored"),
        *(_once("validation", _SCORED, *about) for about in _SCORES),
        *(_once("validation", (*_SCORED, "tail"), *about) for about in _TAIL_SCORES),
        *(_once("spreads", ("pair",), *about) for about in _SPREADS),
        *(_once("spreads", ("pair", "horizon"), *about) for about in _SPREADS_BY_HORIZON),
        _once("exhaustion", _WALKS, "last_held", "1", "move before the first that exhausts the fund", "signed"),
        _once("exhaustion", _WALKS, "first_exhausted", "1", "smallest move seen to exhaust it; NaN = none", "signed"),
        _once("exhaustion", _WALKS, "heals_at", "1", "next larger move at which it holds again; NaN = none", "signed"),
        _once("exhaustion", ("direction",), "furthest", "1", "largest move looked at", "signed"),
        _once("exhaustion", ("depth",), "depth_factor", "1", "factor that multiplies every depth"),
        *(_once("attribution", *about) for about in _ATTRIBUTION),
        *(_once("adl", *about) for about in ADL_VARIABLES),
        _once(
            "accounts", ("account",), "margin_excess", "USD", "smallest margin excess of the account's pools", "signed"
        ),
        _once("accounts", ("account",), "equity", "USD", "haircut collateral plus unrealised PnL, all pools", "signed"),
        _once("accounts", ("account",), "maintenance_margin", "USD", "maintenance margin, all pools"),
        _once(
            "accounts",
            ("account",),
            "distance_to_liquidation_down",
            "1",
            "smallest fall of the index axis that makes it liquidatable; NaN = none within the axis",
        ),
        _once(
            "accounts",
            ("account",),
            "distance_to_liquidation_up",
            "1",
            "smallest rise of the index axis that makes it liquidatable; NaN = none within the axis",
        ),
        _once("accounts", ("account",), "main_instrument", "1", "contract of the largest position", "label", "string"),
        *(
            _once("accounts", ("account",), name, "quote units", f"mark of main_instrument at which {what}; NaN = none")
            for name, what in (
                ("liquidation_price", "the pool that holds it has no margin excess"),
                ("margin_call_price", "the pool that holds it has its initial margin only"),
                ("bankruptcy_price", "nothing is left of the pool that holds it"),
            )
        ),
        _once(
            "accounts",
            ("account",),
            "health_factor",
            "1",
            "of a loan: collateral at its liquidation thresholds over debt; NaN = no debt",
        ),
        _once("accounts", ("account",), "debt", "USD", "what a loan owes, at index prices"),
        _once(
            "accounts",
            ("account",),
            "toxic_fall",
            "1",
            "of a loan: fall of all that it holds beyond which liquidating it leaves debt; NaN = no debt",
        ),
        _once(
            "accounts",
            ("account", "set"),
            "liquidated_scenarios",
            "1",
            "scenarios of the central variant that close one of its pools",
        ),
        _once(
            "accounts",
            ("account", "set"),
            "shortfall_max",
            "USD",
            "largest shortfall over the scenarios of the central variant, weighted",
        ),
        _once("accounts", ("account",), "weight", "1", "identical accounts this row stands for"),
        _once("accounts", ("account",), "entity", "1", "beneficial owner", "label", "string"),
        _once("accounts", ("account",), "entity_index", "1", "index of the owner, as /entities names it", "label"),
        _once("accounts", ("account",), "venue", "1", "venue", "label", "string"),
        _once("accounts", ("account",), "segment", "1", "segment", "label", "string"),
        *(_once("book", *about) for about in BOOK_VARIABLES),  # type: ignore[arg-type]
    )
}

GROUPS: tuple[str, ...] = tuple(dict.fromkeys(variable.group for variable in VARIABLES.values()))


def block_variables() -> tuple[Variable, ...]:
    """Return the variables that blocks write, in order."""
    return tuple(variable for variable in VARIABLES.values() if variable.per_block)
