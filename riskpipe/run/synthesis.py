"""Synthetic inputs: invented accounts on an invented market, or on a recorded one; and recorded loans and options."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from riskpipe.config import read_as_of
from riskpipe.errors import ConfigError
from riskpipe.ingest.aave import RECORDED_AS_OF, recorded_loans
from riskpipe.ingest.candles import recorded_market
from riskpipe.ingest.deribit_chain import RECORDED_AS_OF as CHAINS_AS_OF
from riskpipe.ingest.deribit_chain import market_tables, recorded_chains
from riskpipe.ingest.option_accounts import invented_accounts
from riskpipe.ingest.synthetic.write import write_snapshot
from riskpipe.ingest.write import write_tables

DEFAULT_AS_OF = datetime(2026, 1, 5, tzinfo=UTC)


def synthesise(
    directory: Path,
    *,
    n_accounts: int = 20_000,
    seed: int = 1,
    as_of: str | None = None,
    profile: Literal["calm", "levered"] = "levered",
    market: Path | None = None,
    use_measured_depth: bool = False,
    index_depth_coefficient: float | None = None,
    split: bool = False,
) -> None:
    """Write `directory`/snapshot and `directory`/history.parquet.

    `market` is a folder of recorded candles (see `riskpipe.ingest.candles`); without it the market is invented. Raises
    ConfigError for arguments that do not go together or are out of range, InputRefused for an unusable recording.
    """
    instant = read_as_of(as_of) if as_of else DEFAULT_AS_OF
    if market is None and (use_measured_depth or index_depth_coefficient is not None):
        raise ConfigError("recorded depth needs a recorded market: pass --market FOLDER as well")
    if market is not None and as_of is None:
        raise ConfigError("a recorded market needs its instant: pass --as-of, such as --as-of 2024-08-05T00:00Z")
    recorded = None
    if market is not None:
        recorded = recorded_market(
            market,
            as_of=instant,
            use_measured_depth=use_measured_depth,
            index_depth_coefficient=index_depth_coefficient,
        )
    try:
        write_snapshot(
            directory,
            n_accounts=n_accounts,
            seed=seed,
            as_of=instant,
            profile=profile,
            market=recorded,
            split=split,
        )
    except ValueError as error:
        raise ConfigError(f"synth: {error}") from error


def record_loans(directory: Path, loans: Path, *, as_of: str | None = None) -> None:
    """Write `directory`/snapshot from a folder of recorded loans (see `riskpipe.ingest.aave`); there is no history.

    `as_of` is their recording's own instant unless given. Raises InputRefused for an unusable recording.
    """
    recorded = recorded_loans(loans, as_of=read_as_of(as_of) if as_of else RECORDED_AS_OF)
    directory.mkdir(parents=True, exist_ok=True)
    write_tables(directory / "snapshot", recorded.tables, recorded.as_of, recorded.source)


def write_options(
    directory: Path, options: Path, *, n_accounts: int = 2_000, seed: int = 1, as_of: str | None = None
) -> None:
    """Write `directory`/snapshot: invented portfolio accounts on recorded option chains; there is no history.

    `options` is a folder of chains (see `riskpipe.ingest.deribit_chain`); `as_of` is their own instant unless given.
    Raises ConfigError for too few accounts, InputRefused for an unusable recording.
    """
    market = recorded_chains(options, as_of=read_as_of(as_of) if as_of else CHAINS_AS_OF)
    try:
        accounts = invented_accounts(market, n_accounts=n_accounts, seed=seed)
    except ValueError as error:
        raise ConfigError(f"synth: {error}") from error
    directory.mkdir(parents=True, exist_ok=True)
    source = f"{market.source}; {n_accounts} portfolio accounts invented, seed {seed}"
    write_tables(directory / "snapshot", {**market_tables(market), **accounts}, market.as_of, source)
