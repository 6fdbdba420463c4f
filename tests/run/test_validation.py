"""Validation outside a night: what a snapshot alone cannot tell is left out by name."""

import numpy as np
from support.books import book

from riskpipe.domain.findings import Findings, Reason
from riskpipe.run.validation import without_scanned


def test_only_margins_that_follow_from_venues_rules_are_left_out_of_the_comparison():
    reported = np.array([10.0, 20.0])
    case = book(account_reported_maintenance_margin=reported, account_reported_equity=reported)
    findings = Findings()
    assert without_scanned(case, findings) is case
    case = book(
        account_reported_maintenance_margin=reported,
        account_reported_equity=reported,
        account_is_portfolio=np.array([False, True]),
    )
    left = without_scanned(case, findings)
    np.testing.assert_array_equal(left.account_reported_maintenance_margin, [10.0, np.nan])
    np.testing.assert_array_equal(left.account_reported_equity, reported)
    (found,) = findings
    assert (found.reason, found.count, found.examples) == (Reason.NOT_CHECKED, 1, ("b",))
