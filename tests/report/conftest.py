from datetime import UTC, datetime

import pytest
from strategies import random_case
from support.cubes import kernel_cube
from support.hand_made import hand_made
from support.replications import replication

from riskpipe.domain.controls import Control
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.replication import Mismatch
from riskpipe.domain.scenarios import Variant
from riskpipe.measures.registry import take_measures
from riskpipe.report.render import render
from riskpipe.report.report_input import ReportInput
from riskpipe.scenarios.grid import scenario_set

HOSTILE = (
    "<script>alert(1)</script>",
    '"]]>',
    "</script><!--",
    "a|b",
    "`code`",
    "![x](http://evil.example)",
    "<b>\u202e",
)


def report_input(tree, **changes):
    findings = Findings()
    findings.add(Severity.WARNING, Reason.NO_INDEX_DEPTH, "prices", "contagion channel off", examples=["ETH"])
    controls = (
        Control("long against short", "BTC-PERP", "ok", 1.0, 1.0, ""),
        Control("coverage", "alpha", "not checked", float("nan"), float("nan"), "no open interest"),
    )
    given = {
        "run_id": "2024-08-05T000000Z-0123456789abcdef",
        "book": "main",
        "as_of": datetime(2024, 8, 5, tzinfo=UTC),
        "config": {"book": "main"},
        "versions": {"riskpipe": "0.1.0"},
        "input_hashes": {"accounts.parquet": "ab" * 32},
        "timings": {"compute": 12.5},
        "findings": findings,
        "controls": controls,
        "n_blocks": 3,
        "cube": tree,
        "measures": take_measures(tree),
    }
    return ReportInput(**(given | changes))


@pytest.fixture(scope="session")
def night():
    axes = {"index_shock": [-0.4, -0.2, 0.0, 0.2], "basis_shock": [-0.02, 0.0], "depth_factor": [1.0, 0.1]}
    variants = (Variant(gap_share=1.0), Variant(gap_share=0.0))
    scenarios = scenario_set(axes, [("a bad day", {"index_shock": -0.5})], variants)
    missed = Mismatch("a7", "bravo", "maintenance margin", 12_345.67, 12_349.67, 2.0)
    found = replication(missed, alpha=1.0, bravo=0.9633)
    return report_input(kernel_cube(random_case(3, n_accounts=60), scenarios), replication=found)


@pytest.fixture(scope="session")
def files(night):
    return render(night)


@pytest.fixture(scope="session")
def quiet():
    """A night in which nothing happens."""
    return report_input(hand_made({"index_shock": [-0.1, 0.0]}), controls=(), findings=Findings())


@pytest.fixture(scope="session")
def hostile():
    """A night whose every name is an attack."""
    one, two = HOSTILE[0], HOSTILE[2]
    values = {
        "exposure/liquidated_notional_long": [[[5.0]], [[0.0]]],
        "system/liquidated_notional": [5.0, 0.0],
        "system/first_round_notional": [5.0, 0.0],
        "funds/shortfall": [[3.0], [0.0]],
        "funds/residual": [[3.0], [0.0]],
        "instruments/dislocation": [[-0.1], [0.0]],
        "accounts/equity": [4.0],
        "accounts/entity": [two],
        "accounts/venue": [one],
    }
    names = {
        "venue": [one],
        "underlying": [HOSTILE[3]],
        "fund": [HOSTILE[5]],
        "instrument": [two],
        "account": [HOSTILE[1]],
    }
    tree = hand_made({"index_shock": [-0.1, 0.0]}, values, **names)
    findings = Findings()
    for name in HOSTILE:
        findings.add(Severity.WARNING, Reason.BAD_VALUE, name, f"row of {name}", examples=[name])
    controls = tuple(Control(name, name, "differs", 1.0, 2.0, name) for name in HOSTILE)
    return report_input(
        tree,
        book=HOSTILE[4],
        findings=findings,
        controls=controls,
        replication=replication(
            *(Mismatch(name, name, "equity", 5.0, 6.0, 1.0) for name in HOSTILE), **dict.fromkeys(HOSTILE, 0.5)
        ),
        config={**{name: name for name in HOSTILE}, "venues": {HOSTILE[0]: {"approximated": [{"rule": HOSTILE[2]}]}}},
        input_hashes={name: name for name in HOSTILE},
        timings=dict.fromkeys(HOSTILE, 1.0),
        slow_blocks=[(n, name, 1.0, name, 2) for n, name in enumerate(HOSTILE)],
        versions={name: name for name in HOSTILE},
        entity_labels=HOSTILE,
    )
