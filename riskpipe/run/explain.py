"""Explain: the story of one account in one scenario of a published night."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numba.core.registry import cpu_target

from riskpipe.domain.names import plain
from riskpipe.domain.paths import CascadePath
from riskpipe.domain.scenarios import AXES
from riskpipe.domain.story import STAGES, AccountStory
from riskpipe.errors import ComputeError
from riskpipe.liquidation.account_story import account_story
from riskpipe.liquidation.alone import Alone, alone
from riskpipe.liquidation.paths import cascade_path
from riskpipe.report.story import story_lines
from riskpipe.report.wording import cell_words, set_words, variant_words
from riskpipe.run.replay import TOLERANCE, Replay, open_replay
from riskpipe.run.selection import find_account, find_scenario

# numba imports scipy and most of itself with the first compiled function that is called: here it is seen as an import
cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()

_PATH = ("instruments/forced_flow", "instruments/mark_price", "instruments/dislocation", "system/rounds")
_ACCOUNT = tuple(
    f"accounts/{name}"
    for name in (
        "equity", "maintenance_margin", "distance_to_liquidation_down", "distance_to_liquidation_up",
        "liquidated_scenarios", "shortfall_max",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Explanation:
    """An account's story with the run and scenario that it is of, and how far bits can be trusted."""

    run_id: str
    scenario: int
    scenario_words: str
    story: AccountStory
    differs_by: tuple[str, ...]
    is_scaled: bool
    """Whether assets move on their own in the scenario: what would tip a survivor is then a multiple of all of it."""

    def as_json(self) -> dict[str, Any]:
        """Plain values; None where a number is missing."""
        story = asdict(self.story) | {
            "equity": self.story.equity,
            "maintenance_margin": self.story.maintenance_margin,
            "shortfall": self.story.shortfall,
            "closed_in": self.story.closed_in,
        }
        about = {"run_id": self.run_id, "scenario": self.scenario, "scenario_words": self.scenario_words}
        found: dict[str, Any] = _finite({**about, "replayed_with": list(self.differs_by), "account": story})
        return found

    def as_text(self) -> str:
        """Sentences for a person, as Markdown."""
        where = f"{self.scenario} ({self.scenario_words})"
        lines = story_lines(self.story, where, self.run_id, is_scaled=self.is_scaled)
        if self.differs_by:
            lines += ["", f"Replayed with {' and '.join(self.differs_by)}: equal to the run to 1e-9, not bit for bit."]
        return "\n".join(lines)


def explain(store: str, *, scenario: str, account: str, as_of: str | None = None, book: str = "") -> Explanation:
    """Tell the story of an account.

    Parameters
    ----------
    scenario: its number, or a selection such as `index_shock=-0.2,depth_factor=0.1`.
    account: its id.

    Raises
    ------
    StoreError: no such night. ConfigError: no such scenario or account, the nearest named. ComputeError: where the
    replay is not what the run keeps.
    """
    replay = open_replay(store, as_of, book)
    return explain_row(replay, find_scenario(replay.scenarios, scenario), find_account(replay.book, account))


def explain_row(replay: Replay, row: int, account: int) -> Explanation:
    """Tell the story of account number `account` in scenario `row`."""
    book, market, rules = replay.book, replay.market, replay.rules
    kept = replay.kept((*_PATH, *(f"funds/{name}" for name in ("shortfall", *STAGES))), row)
    of_account = replay.kept(_ACCOUNT, account)
    paid = {name: kept[f"funds/{name}"] for name in ("shortfall", *STAGES)}
    one = replay.scenarios.take(slice(row, row + 1))
    own = alone(book, market, one, account)
    may_win = _may_win(own, kept["instruments/mark_price"], paid["adl_loss"])
    path = cascade_path(book, market, rules, one, own.pool, with_winners=may_win)
    replay.require_equal(row, _ends(path), kept)
    distances = tuple(float(of_account[f"accounts/distance_to_liquidation_{way}"]) for way in ("down", "up"))
    story = account_story(own, rules, path, paid, (distances[0], distances[1]))
    _require_agreement(replay, story, row, of_account)
    axes = {name: float(getattr(one, name)[0]) for name in (*AXES, "haircut_shock")}
    axes |= {name: float(one.on_axis(name)[0]) for name in one.own_axes}
    variant = one.variants[int(one.variant[0])].label
    name = f"{one.name[0]}: " if str(one.name[0]) else ""
    words = f"{name}{cell_words(axes)}; {set_words(one.sets[int(one.set_index[0])])}; {variant_words(variant)}"
    is_scaled = one.asset_shock is not None and not np.all(np.isnan(one.asset_shock))  # as liquidation.tipping has it
    return Explanation(replay.run_id, row, words, story, replay.differs_by, is_scaled)


def _may_win(own: Alone, mark: np.ndarray, adl_loss: np.ndarray) -> bool:
    """Whether any position is ahead at the final marks on a contract whose fund turns to winners."""
    i = own.book.position_instrument
    is_ahead = (mark[own.instrument][i] - own.book.position_entry_price) * own.book.position_quantity > 0.0
    return bool((is_ahead & (adl_loss[own.book.instrument_fund[i]] > 0.0)).any())


def _ends(path: CascadePath) -> dict[str, np.ndarray]:
    """Return where a path ends, by cube variable."""
    return dict(
        zip(_PATH, (path.flow[-1], path.mark[-1], path.dislocation[-1], np.array(float(path.n_rounds))), strict=True)
    )


def _require_agreement(replay: Replay, story: AccountStory, row: int, kept: dict[str, np.ndarray]) -> None:
    """Raise ComputeError where the story contradicts the cube's /accounts by more than 1e-9."""
    scale = max(1.0, *(abs(pool.before.equity) + pool.before.initial_margin for pool in story.pools))
    problems = [
        f"{name} is {mine!r}, the cube says {float(kept[f'accounts/{name}'])!r}"
        for name, mine in (("equity", story.equity), ("maintenance_margin", story.maintenance_margin))
        if not math.isclose(mine, float(kept[f"accounts/{name}"]), rel_tol=TOLERANCE, abs_tol=TOLERANCE * scale)
    ]
    if int(replay.scenarios.variant[row]) == 0:  # /accounts counts the central variant's scenarios
        in_set = int(replay.scenarios.set_index[row])
        if story.closed_in and not kept["accounts/liquidated_scenarios"][in_set] > 0.0:
            problems.append("it is liquidated, and the cube counts no scenario of its set that does it")
        most = float(kept["accounts/shortfall_max"][in_set])
        if story.shortfall > most + TOLERANCE * max(most, scale):
            problems.append(f"its shortfall is {story.shortfall!r}, and the cube's largest {most!r}")
    if problems:
        raise ComputeError(
            f"account {plain(story.account)} in scenario {row} of run {replay.run_id} is told otherwise than the run "
            f"keeps it: {'; '.join(problems)}. Nothing is told of it; verify the run"
        )


def _finite(value: Any) -> Any:  # noqa: ANN401  plain values of any depth
    """Put None in the place of numbers that JSON has no word for."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
