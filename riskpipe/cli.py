"""The command line. Heavy libraries load inside commands, so that `riskpipe --help` answers at once.

Exit codes: 0 complete (and published, if it was to be); 1 input refused, or `verify` found differences; 2 configuration
or usage; 3 store; 4 compute; 5 some of several nights; 6 an alert not delivered; 10 a limit breached, where configured;
70 a defect; 130 interrupted.
"""

import json
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from riskpipe import cli_cluster, cli_explain
from riskpipe.cli_output import print_json, show, shown

app = typer.Typer(
    name="riskpipe",
    help="Nightly scenario grids of liquidation exposure and basis-spread volatility.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: drawing it with rich costs as much as all the rest
)


class Profile(StrEnum):
    """Leverage of an invented population."""

    CALM = "calm"
    LEVERED = "levered"


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
StoreArgument = Annotated[str, typer.Argument(help="The store: a folder, or s3://bucket/prefix.")]
AsOfOption = Annotated[str | None, typer.Option("--as-of", help="Instant, such as 2024-08-05T00:00Z.")]
BookOption = Annotated[str, typer.Option("--book", help="Name under which nights are published.")]


def _given(**options: Any) -> dict[str, Any]:  # noqa: ANN401  options of any type
    """Return the options that were given: what was not keeps the default of the function called."""
    return {name: value for name, value in options.items() if value is not None}


def _overrides(places: dict[str, str]) -> list[str]:
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in places.items()]


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="The run's YAML file.")],
    *,
    as_of: AsOfOption = None,
    snapshot: Annotated[str | None, typer.Option(help="Replaces the configuration's snapshot.")] = None,
    store: Annotated[str | None, typer.Option(help="Replaces the configuration's store.")] = None,
    executor: Annotated[str | None, typer.Option(help="serial, local or tcp://host:port.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, dots between keys.")] = None,
    publish: Annotated[bool | None, typer.Option("--publish/--no-publish", help="Move the pointer when done.")] = None,
    is_performance_kept: Annotated[bool, typer.Option("--performance", help="Keep Dask's performance report.")] = False,
    log_format: Annotated[str | None, typer.Option(help="json: events as JSON lines on stderr.")] = None,
    is_json: JsonOption = False,
) -> None:
    """Run one night. Publishes; with any --set only when --publish is given."""
    from riskpipe.config import load, read_as_of
    from riskpipe.run.listening import is_json as is_json_lines
    from riskpipe.run.listening import listening
    from riskpipe.run.nightly import run_night

    replaced = _overrides(_given(snapshot=snapshot, store=store, executor=executor))
    if is_performance_kept:
        replaced.append("report.performance=true")
    instant = None if as_of is None else read_as_of(as_of)
    settings = load(config, [*(overrides or []), *replaced], instant)
    is_published = publish if publish is not None else not overrides
    with listening(log_format), shown(is_quiet=is_json or is_json_lines(log_format)) as (progress, say):
        result = run_night(settings, as_of=instant, is_published=is_published, progress=progress, say=say)
    show(result.as_json(), is_json=is_json)
    result.conclude()


@app.command()
def demo(
    directory: Annotated[Path, typer.Argument(help="Where the demo lives.")] = Path("demo"),
    *,
    accounts: Annotated[int | None, typer.Option(min=20, help="Accounts of the snapshot (20000).")] = None,
    executor: Annotated[str, typer.Option(help="serial, local or tcp://host:port.")] = "local",
    is_json: JsonOption = False,
) -> None:
    """Run a night on a generated snapshot: inputs, store and report all under DIRECTORY."""
    from riskpipe.config import load, shipped
    from riskpipe.errors import ConfigError
    from riskpipe.run.nightly import run_night
    from riskpipe.run.synthesis import synthesise

    if not (directory / "snapshot" / "snapshot.json").exists():
        synthesise(directory, **_given(n_accounts=accounts))
    elif accounts is not None:
        raise ConfigError(f"{directory} has its snapshot already: choose another folder, or leave --accounts out")
    places = {
        "snapshot": str(directory / "snapshot"),
        "history": str(directory / "history.parquet"),
        "store": str(directory / "store"),
    }
    settings = load(shipped("nightly.yaml"), [*_overrides(places), f"executor={executor}"])
    with shown(is_quiet=is_json) as (progress, say):
        result = run_night(settings, progress=progress, say=say)
    show(result.as_json(), is_json=is_json)


@app.command()
def synth(
    directory: Annotated[Path, typer.Argument(help="Gets snapshot/ and history.parquet.")],
    *,
    accounts: Annotated[int | None, typer.Option(min=1, help="Accounts (20000; 2000 with --options).")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Same seed, same bytes (1).")] = None,
    as_of: AsOfOption = None,
    profile: Annotated[Profile | None, typer.Option(help="Leverage of the population (levered).")] = None,
    market: Annotated[Path | None, typer.Option(help="Folder of recorded candles to take the market from.")] = None,
    measured_depth: Annotated[
        bool, typer.Option("--measured-depth", help="With --market: recorded order books, even later than as-of.")
    ] = False,
    index_depth: Annotated[
        float | None, typer.Option(help="With --market: c of index depth = c x spot volume / volatility.")
    ] = None,
    split: Annotated[bool, typer.Option("--split", help="One snapshot per venue.")] = False,
    loans: Annotated[Path | None, typer.Option(help="Folder of recorded loans; nothing is invented.")] = None,
    options: Annotated[Path | None, typer.Option(help="Folder of recorded option chains; portfolio accounts.")] = None,
) -> None:
    """Write a valid snapshot: invented accounts and a market, invented or recorded, or option chains; or real loans."""
    from riskpipe.errors import ConfigError
    from riskpipe.run.synthesis import record_loans, synthesise, write_options

    population = {"accounts": accounts, "seed": seed}
    of_market = {
        "profile": profile,
        "market": market,
        "index-depth": index_depth,
        "measured-depth": measured_depth or None,
        "split": split or None,
    }
    for source, folder, others in (
        ("loans", loans, population | of_market | {"options": options}),
        ("options", options, of_market),
    ):
        given = _given(**others)
        if folder is not None and given:
            raise ConfigError(f"recorded {source} are taken as they are: leave out --{', --'.join(given)}")
    invented = _given(n_accounts=accounts, seed=seed)
    if loans is not None:
        record_loans(directory, loans, as_of=as_of)
    elif options is not None:
        write_options(directory, options, as_of=as_of, **invented)
    else:
        synthesise(
            directory,
            as_of=as_of,
            market=market,
            use_measured_depth=measured_depth,
            index_depth_coefficient=index_depth,
            split=split,
            **invented,
            **_given(profile=profile and profile.value),
        )
    typer.echo(f"wrote {directory}")


@app.command()
def validate(
    uri: Annotated[str, typer.Argument(help="A snapshot's location.")],
    *,
    is_json: JsonOption = False,
) -> None:
    """Show findings, control totals and the replication check of a snapshot; exit 1 when it would be refused."""
    from riskpipe.run.validation import validate_snapshot

    result = validate_snapshot(uri)
    if is_json:
        print_json(result.as_json())
    else:
        typer.echo(result.as_text())


@app.command()
def runs(
    store: StoreArgument,
    *,
    is_json: JsonOption = False,
) -> None:
    """List what is published in a store, and runs that are not."""
    from riskpipe.run.upkeep import list_store

    listing = list_store(store)
    for problem in listing.problems:
        typer.echo(f"riskpipe: {problem}", err=True)
    if is_json:
        print_json(listing.as_json())
    else:
        typer.echo(listing.as_text())


@app.command()
def report(
    store: StoreArgument,
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")],
    as_of: AsOfOption = None,
    book: BookOption = "",
) -> None:
    """Render a published night's report again."""
    from riskpipe.run.publish import render_again

    for path in render_again(store, as_of=as_of, book=book, out=out):
        typer.echo(str(path))


@app.command()
def verify(
    store: StoreArgument,
    *,
    run_id: Annotated[str | None, typer.Option("--run-id", help="One run; else every published one.")] = None,
    is_json: JsonOption = False,
) -> None:
    """Compare stored runs with their manifests, byte by byte; exit 1 on any difference."""
    from riskpipe.run.upkeep import verify_store

    problems = verify_store(store, run_id)
    if is_json:
        print_json(problems)
    else:
        for name, found in problems.items():
            typer.echo(f"{name}: {'as promised' if not found else f'{len(found)} differences'}")
            for problem in found:
                typer.echo(f"  - {problem}", err=True)
    if any(problems.values()):
        raise typer.Exit(1)


@app.command()
def sweep(
    store: StoreArgument,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    keep_days: Annotated[int, typer.Option(min=1, help="Days that complete runs no pointer names stay.")] = 30,
    month_ends_only: Annotated[
        bool, typer.Option("--month-ends-only", help="Of published nights older than that, keep month ends only.")
    ] = False,
    is_json: JsonOption = False,
) -> None:
    """Remove unfinished and superseded runs, and books that no run uses; published nights only when asked."""
    from riskpipe.run.upkeep import sweep_store

    swept = sweep_store(store, keep_days=keep_days, month_ends_only=month_ends_only, is_dry_run=dry_run)
    if is_json:
        print_json(swept.as_json())
    else:
        typer.echo(swept.as_text())


@app.command()
def changes(
    store: StoreArgument,
    *,
    as_of: AsOfOption = None,
    since: Annotated[str | None, typer.Option(help="The earlier night; else the last one before.")] = None,
    book: BookOption = "",
    is_json: JsonOption = False,
) -> None:
    """Explain what has changed since an earlier published night, and keep it beside both."""
    from riskpipe.run.comparisons import changes_text, compare

    found = compare(store, as_of=as_of, since=since, book=book)
    if is_json:
        print_json(found.as_json())
    else:
        typer.echo(changes_text(found))


@app.command()
def acknowledge(
    store: StoreArgument,
    limit: Annotated[str, typer.Argument(help="A limit's name, as under risk_limits.")],
    *,
    by: Annotated[str, typer.Option("--by", help="Who knows of it.")],
    why: Annotated[str, typer.Option("--why", help="Why it may stand.")],
    until: Annotated[str | None, typer.Option(help="Last night for which it holds (seven days on).")] = None,
    as_of: AsOfOption = None,
    book: BookOption = "",
) -> None:
    """Acknowledge a published night's limit: nobody is told of it again until it worsens or the time is over."""
    from riskpipe.run.limits import acknowledge as remember
    from riskpipe.run.limits import acknowledged_text

    typer.echo(acknowledged_text(remember(store, limit, by=by, why=why, until=until, as_of=as_of, book=book)))


for _command in (cli_explain.explain, cli_cluster.submit, cli_cluster.scheduler, cli_cluster.worker):
    app.command()(_command)


def main() -> None:
    """Run the command line; every known error becomes one clear message on stderr and its exit code."""
    from riskpipe.errors import INTERRUPTED, INTERRUPTION, RiskpipeError, masked

    try:
        app()
    except RiskpipeError as error:
        typer.echo(f"riskpipe: {error}", err=True)
        for note in getattr(error, "__notes__", ()):
            typer.echo(f"  {masked(note)}", err=True)
        sys.exit(error.exit_code)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer has turned Ctrl-C into this
            typer.echo(INTERRUPTION, err=True)
        raise
    except OSError as error:
        typer.echo(f"riskpipe: {masked(str(error))}", err=True)
        sys.exit(3)
    except Exception:  # noqa: BLE001  the last line of defence
        typer.echo(masked(traceback.format_exc()), err=True, nl=False)
        typer.echo("riskpipe: this is a defect; please report it with the lines above", err=True)
        sys.exit(70)
