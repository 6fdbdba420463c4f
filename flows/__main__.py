"""Flows from the command line: `python -m flows nightly --config configs/nightly.yaml`.

Nothing is imported above `main`: the processes of a local cluster import this module again, and have no use for
Prefect.
"""

import argparse
import sys
from pathlib import Path


def main() -> int:
    """Run a flow; exit codes are those of the `riskpipe` command."""
    parser = argparse.ArgumentParser(prog="python -m flows", description="Run a Prefect flow of riskpipe.")
    parser.add_argument("flow", choices=["nightly"], help="which flow")
    parser.add_argument("--config", default="configs/nightly.yaml", help="the run's YAML file")
    parser.add_argument("--as-of", help="the instant, where the snapshot's location holds {as_of} or {date}")
    parser.add_argument("--no-publish", action="store_true", help="keep the run but do not move the pointer")
    arguments = parser.parse_args()

    from flows.nightly import nightly
    from riskpipe.errors import INTERRUPTED, INTERRUPTION, RiskpipeError
    from riskpipe.run.nightly import result_lines

    try:
        result = nightly(arguments.config, arguments.as_of, publish=False if arguments.no_publish else None)
    except RiskpipeError as error:
        sys.stderr.writelines(f"{line}\n" for line in (f"riskpipe: {error}", *getattr(error, "__notes__", ())))
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"{INTERRUPTION}\n")
        return INTERRUPTED
    sys.stdout.writelines(f"{line}\n" for line in result_lines(result))
    sys.stdout.write(f"cube:   {result['cube']}\nreport: {Path(result['report']).as_uri()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
