"""What every test shares: the same hypothesis examples on every machine, so that a red test stays red until mended."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci")

COMPILING = "tests/liquidation/test_kernel_equals_reference.py"
WITHOUT_KERNEL = ("calibrate", "cube", "domain", "infra", "ingest", "pricing", "scenarios", "venues")
LONG = ("chaos", "integration", "test_docs.py")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Order whole files for several processes (`make test`); within a rank the order stays random.

    One process compiles the kernel while the others do what needs none; then come files of minutes, and last the many
    small ones, so that no process is left with a long file at the end.
    """
    items.sort(key=lambda item: rank(item.nodeid.split("::")[0]))


def rank(path):
    room = path.split("/")[1]
    return 0 if path == COMPILING else 1 if room in WITHOUT_KERNEL else 2 if room in LONG else 3
