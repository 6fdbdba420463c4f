"""Ends with 0 when the store named can be written and honours conditions, as pointers need; else with the reason.

Run before the first night, it also makes the bucket where the object store makes one for whoever writes first.
"""

import sys

from riskpipe.cube.store import open_store
from riskpipe.errors import RiskpipeError

try:
    IS_FIT = open_store(sys.argv[1]).honours_conditions()
except RiskpipeError as error:
    sys.exit(f"riskpipe: {error}")
if not IS_FIT:
    sys.exit(
        f"riskpipe: {sys.argv[1]}: this object store ignores conditions; two publications could overwrite each other"
    )
sys.stdout.write(f"{sys.argv[1]} can be written and honours conditions\n")
