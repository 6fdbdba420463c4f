"""Who bears auto-deleveraging: the variables of the cube's group /adl, of the central variant.

Two views: `tail`, the mean over the scenarios that expected shortfall is attributed over, with its weights there;
`worst`, the one scenario of all in which auto-deleveraging takes most.
"""

TAIL, WORST = VIEWS = ("tail", "worst")
# dims, name, units, long name, sign, type; NaN = the view is not computed
ADL_VARIABLES = (
    (("view",), "scenarios", "1", "scenarios computed again, account by account; 0 = in none is anything taken"),
    (("view",), "level", "1", "level of the expected shortfall whose tail this is; NaN = one scenario"),
    (("view",), "scenario", "1", "the scenario; NaN = none, or several", "label"),
    (("view", "fund"), "cost", "USD", "profit taken from winners for the fund"),
    (("view", "segment"), "segment_cost", "USD", "of it, borne by accounts of the segment"),
    (("view",), "several_cost", "USD", "of it, borne by rows that stand for several owners"),
    (("view",), "bearers", "accounts", "accounts that bear any of it, weighted"),
    (("view", "contributor"), "account_name", "1", "account of one owner; empty = no more", "label", "string"),
    (("view", "contributor"), "account_cost", "USD", "of it, borne by the account"),
    (("view", "contributor"), "entity_name", "1", "beneficial owner; empty = no more", "label", "string"),
    (("view", "contributor"), "entity_cost", "USD", "of it, borne by its accounts"),
)
