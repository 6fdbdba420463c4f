"""A process of its own that measures on command: `python -m tests.benchmarks.worker FOLDER SIZES STORE BOOK`.

Each line of its input, "kernel SECONDS" or "bare SECONDS", is answered with the position-scenarios a second reached in
so much time.
"""

import sys
import time

from riskpipe.cube.books import open_book
from riskpipe.liquidation.kernel import Kernel

from .books import Inputs
from .yardstick import Yardstick


def main() -> None:
    folder, sizes, store, sha = sys.argv[1:]
    inputs = Inputs.from_arguments(folder, sizes)
    book = open_book(store, sha)
    market, rules, _ = inputs.world(book, inputs.sizes.snapshot_accounts)
    scenarios = inputs.health_scenarios.slab(0, inputs.sizes.process_scenarios)
    kernel, bare = Kernel(book, market, rules), Yardstick(book, len(scenarios))
    calls = {"kernel": lambda: kernel.run(scenarios), "bare": bare.run}
    for call in calls.values():
        call()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        name, seconds = line.split()
        n, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < float(seconds):
            calls[name]()
            n += 1
        sys.stdout.write(f"{n * bare.work / elapsed}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
