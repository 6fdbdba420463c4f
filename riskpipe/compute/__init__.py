"""Compute: run one pure unit of work over many blocks, in this process or on a Dask cluster.

The only package that knows distributed. Blocks are idempotent, so a worker's death is answered by running its block
again; what cannot be answered ends as a ComputeError that names the block. Nothing waits without a limit, and no map
returns before every block has handed in its receipt.
"""

from riskpipe.compute.executors import Executor, SerialExecutor, make_executor

__all__ = ["Executor", "SerialExecutor", "make_executor"]
