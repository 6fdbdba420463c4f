"""Thin Prefect flows over the stages of a night.

What Prefect is told by its environment is said here, before anything imports it: it reads these variables once. A value
that is set already stands.
"""

import os

# what tells a dead flow from a slow one: the automation on heartbeats waits for 100 s
os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")
# an embedded server needs 16 to 26 s on two cores; Prefect waits 20 by default
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
