"""Commands around clusters: nights handed to one, and the scheduler and workers that it is made of."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from riskpipe.cli_output import show, shown

HostOption = Annotated[str, typer.Option(help="What to listen on; beyond loopback only with certificates.")]
DashboardOption = Annotated[str | None, typer.Option(help="host:port of the dashboard, on loopback; else none.")]
PublishOption = Annotated[bool, typer.Option("--publish", help="Move the pointer when done.")]


def submit(
    config: Annotated[str, typer.Argument(help="A configuration: to a deployment its name, to a scheduler a file.")],
    *,
    as_of: Annotated[str | None, typer.Option("--as-of", help="Instant, such as 2024-08-05T00:00Z.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, dots between keys.")] = None,
    deployment: Annotated[str | None, typer.Option(help="FLOW/NAME (ad-hoc/ad-hoc), on PREFECT_API_URL.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="tcp://host:port or tls://host:port, without Prefect.")] = None,
    is_published: PublishOption = False,
    is_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Hand a night to a deployment (where PREFECT_API_URL is set) or to a scheduler, and follow it; not published.

    Ctrl-C cancels it with its blocks. A scheduler's address may also come from DASK_SCHEDULER_ADDRESS.
    """
    address = scheduler or (None if deployment else os.environ.get("DASK_SCHEDULER_ADDRESS"))
    if scheduler or (address and not os.environ.get("PREFECT_API_URL")):
        _to_scheduler(config, str(address), as_of, overrides or [], is_published=is_published, is_json=is_json)
    else:
        _to_deployment(config, deployment, as_of, overrides or [], is_published=is_published, is_json=is_json)


def _to_scheduler(
    config: str, address: str, as_of: str | None, overrides: list[str], *, is_published: bool, is_json: bool
) -> None:
    from riskpipe.config import load, read_as_of
    from riskpipe.run.listening import is_json as is_json_lines
    from riskpipe.run.listening import listening
    from riskpipe.run.nightly import run_night

    instant = None if as_of is None else read_as_of(as_of)
    settings = load(Path(config), [*overrides, f"executor={address}"], instant)
    with listening(), shown(is_quiet=is_json or is_json_lines()) as (progress, say):
        result = run_night(settings, as_of=instant, is_published=is_published, progress=progress, say=say)
    show(result.as_json(), is_json=is_json)
    result.conclude()


def _to_deployment(
    config: str, deployment: str | None, as_of: str | None, overrides: list[str], *, is_published: bool, is_json: bool
) -> None:
    import json

    from flows.submission import DEPLOYMENT, server_url
    from flows.submission import submit as start
    from riskpipe.errors import ComputeError, ConfigError

    if server_url() is None:
        raise ConfigError("nobody to submit to: set PREFECT_API_URL, or name a scheduler with --scheduler")
    parameters: dict[str, Any] = {"config": config, "overrides": overrides, "publish": is_published}
    ended = start(
        deployment or DEPLOYMENT,
        parameters if as_of is None else parameters | {"as_of": as_of},
        lambda line: typer.echo(line, err=True),
    )
    if is_json and ended.result:
        typer.echo(json.dumps(ended.result, indent=2))
    for line in [] if is_json else ended.lines():
        typer.echo(line)
    if ended.state != "COMPLETED":
        failed = ComputeError(f"flow run {ended.name} ended as {ended.state}: {ended.message}")
        failed.exit_code = ended.exit_code
        raise failed
    if not ended.result:
        raise ComputeError(f"flow run {ended.name} has completed, but does not say where its results are")


def scheduler(
    *,
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its port.")] = 8786,
    dashboard: DashboardOption = None,
) -> None:
    """Run a Dask scheduler here; certificates come from RISKPIPE_TLS_CA, RISKPIPE_TLS_CERT and RISKPIPE_TLS_KEY."""
    from riskpipe.compute.nodes import node_environment, scheduler_command

    _become(scheduler_command(host, port, dashboard=dashboard), node_environment())


def worker(
    address: Annotated[str, typer.Argument(help="The scheduler: tcp://host:port or tls://host:port.")],
    *,
    host: Annotated[str | None, typer.Option(help="What to listen on; by itself loopback, or all over TLS.")] = None,
    dashboard: DashboardOption = None,
    memory_limit: Annotated[int, typer.Option(min=0, help="Bytes, mapped ones too; 0 = no limit.")] = 0,
) -> None:
    """Run a worker of one thread here that joins a scheduler; certificates as for `scheduler`."""
    from riskpipe.compute.nodes import node_environment, worker_command

    command = worker_command(address, host=host, dashboard=dashboard, memory_limit_bytes=memory_limit)
    _become(command, node_environment())


def _become(command: Any, environment: dict[str, str]) -> None:  # noqa: ANN401  a sequence of words
    os.execve(command[0], list(command), os.environ | environment)  # noqa: S606  no shell, and commands made here
