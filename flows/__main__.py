"""Flows from the command line: `python -m flows nightly --config configs/nightly.yaml`.

Nothing is imported above `main`: the processes of a local cluster import this module again, and have no use for
Prefect.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flows", description="Run Prefect flows of riskpipe.")
    flows = parser.add_subparsers(dest="flow", required=True)
    of_one = argparse.ArgumentParser(add_help=False)
    of_one.add_argument("--config", default="configs/nightly.yaml", help="the run's YAML file")
    at = argparse.ArgumentParser(add_help=False)
    at.add_argument("--as-of", help="the instant, where the snapshot's location holds {as_of} or {date}")
    changed = argparse.ArgumentParser(add_help=False)
    changed.add_argument("--set", dest="overrides", action="append", default=[], help="KEY=VALUE, dots between keys")
    hidden = argparse.ArgumentParser(add_help=False)
    hidden.add_argument("--no-publish", action="store_true", help="keep the runs but move no pointer")

    flows.add_parser("nightly", parents=[of_one, at, hidden], help="one night")
    flows.add_parser("snapshot", parents=[of_one, at], help="validate a night's snapshot and keep its book")
    ad_hoc = flows.add_parser("ad-hoc", parents=[of_one, at, changed], help="a night with changed keys, not published")
    ad_hoc.add_argument("--publish", action="store_true", help="move the pointer when done")
    books = flows.add_parser("books", parents=[at, hidden], help="many books of a night on one cluster")
    books.add_argument("configs", nargs="+", metavar="CONFIG", help="the books' YAML files, in one folder or below it")
    books.add_argument("--urgent", action="append", default=[], metavar="CONFIG", help="one of them that goes first")
    backfill = flows.add_parser("backfill", parents=[of_one, changed], help="a range of nights")
    whether = backfill.add_mutually_exclusive_group()
    whether.add_argument("--publish", action="store_true", help="move the pointers although keys were changed")
    whether.add_argument("--no-publish", dest="publish", action="store_false", help="keep the runs but move no pointer")
    backfill.set_defaults(publish=None)  # neither: unless keys were changed
    backfill.add_argument("--start", required=True, help="the first instant")
    backfill.add_argument("--end", required=True, help="the last instant")
    backfill.add_argument("--step-hours", type=int, default=24, help="hours between nights (24)")
    backfill.add_argument("--at-once", type=int, default=2, help="nights side by side (2)")
    serve = flows.add_parser("serve", help="Prefect server, scheduler, workers and deployments on this machine")
    serve.add_argument("--home", default=".serve", help="folder of logs and of Prefect's database (.serve)")
    serve.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="Dask workers (one for each core)")
    share = "of this machine's memory, what its Dask workers may use together (0.9)"
    serve.add_argument("--memory-share", type=float, default=0.9, help=share)
    serve.add_argument("--prefect-port", type=int, default=4200, help="0 = any free one")
    serve.add_argument("--scheduler-port", type=int, default=8786, help="0 = any free one")
    serve.add_argument("--dashboard-port", type=int, default=8787, help="0 = any free one")
    flows.add_parser("provision", help="work pool, deployments and automations on the server of PREFECT_API_URL")
    return parser


def _named(files: list[str]) -> list[str]:
    """Make the common folder of files the configurations' folder, and return their names below it."""
    from riskpipe.run.requests import CONFIGS_VARIABLE

    paths = [Path(file).resolve() for file in files]
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    os.environ[CONFIGS_VARIABLE] = str(folder)
    return [path.relative_to(folder).as_posix() for path in paths]


def _call(given: argparse.Namespace) -> Callable[[], dict[str, Any]]:
    """Return the call of a flow; parameters are checked when it is made."""
    from flows.nightly import ad_hoc, nightly
    from flows.several import backfill, books
    from flows.snapshot import snapshot

    if given.flow == "books":
        urgent = [Path(file).absolute() for file in given.urgent]
        names = dict(zip([Path(file).absolute() for file in given.configs], _named(given.configs), strict=True))
        chosen = [names.get(path, str(path)) for path in urgent]
        return lambda: books(list(names.values()), urgent=chosen, as_of=given.as_of, publish=not given.no_publish)
    (config,) = _named([given.config])
    if given.flow == "nightly":
        return lambda: nightly(config, given.as_of, publish=False if given.no_publish else None)
    if given.flow == "ad-hoc":
        return lambda: ad_hoc(config, given.overrides, given.as_of, publish=given.publish)
    if given.flow == "snapshot":
        return lambda: snapshot(config, given.as_of)
    return lambda: backfill(
        config, given.start, given.end, given.overrides, publish=given.publish,
        step_hours=given.step_hours, at_once=given.at_once,
    )  # fmt: skip


def _lines(flow: str, result: dict[str, Any]) -> list[str]:
    from riskpipe.run.nightly import result_lines

    if flow == "snapshot":
        return [f"snapshot of {result['as_of']} is valid; book {result['book_sha256']}", f"took:   {result['took']}"]
    nights = [*result["done"].values()] if "done" in result else [result]
    lines = [f"night {name} was published before" for name in result.get("skipped", [])]
    for night in nights:
        report = night["report"] if "://" in night["report"] else Path(night["report"]).as_uri()
        lines += [*result_lines(night), f"cube:   {night['cube']}", f"report: {report}"]
    return lines


def _do(given: argparse.Namespace) -> list[str]:
    """Do what is asked, and return the lines to print of it."""
    if given.flow == "serve":
        from flows.serving import Ports, serve

        ports = Ports(given.prefect_port, given.scheduler_port, given.dashboard_port)
        serve(Path(given.home), given.workers, ports, memory_share=given.memory_share)
        return []
    from prefect.exceptions import ParameterTypeError
    from prefect.flow_engine import FlowRunTimeoutError

    from flows.server import loss_told, reachable_server
    from riskpipe.errors import ComputeError, ConfigError

    if given.flow == "provision":
        from flows.provision import provision
        from flows.serving import AT_ONCE

        with loss_told():
            provision(at_once=AT_ONCE, say=print)
        return []
    from flows.recovery import recover, signed

    with reachable_server(), loss_told(), signed():
        recover()
        try:
            result = _call(given)()
        except ParameterTypeError as error:
            raise ConfigError(str(error)) from error
        except FlowRunTimeoutError as error:
            raise ComputeError(
                f"the flow took too long and was ended: {error} What is done stays done, and the same command goes on; "
                "RISKPIPE_FLOW_TIMEOUT_SECONDS gives it longer"
            ) from error
    return _lines(given.flow, result)


def main() -> int:
    """Run a flow; exit codes are those of the `riskpipe` command."""
    given = _parser().parse_args()

    from riskpipe.errors import INTERRUPTED, INTERRUPTION, RiskpipeError, StoreError, masked

    try:
        lines = _do(given)
    except RiskpipeError as error:
        sys.stderr.writelines(f"{line}\n" for line in (f"riskpipe: {error}", *getattr(error, "__notes__", ())))
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"{INTERRUPTION}\n")
        return INTERRUPTED
    except OSError as error:
        sys.stderr.write(f"riskpipe: {masked(str(error))}\n")
        return StoreError.exit_code
    except Exception:  # noqa: BLE001  the last line of defence: Python's own code for it is that of a refused input
        sys.stderr.write(masked(traceback.format_exc()))
        sys.stderr.write("riskpipe: this is a defect; please report it with the lines above\n")
        return RiskpipeError.exit_code
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
