"""Replications by hand: figures of venues with the shares a test wants."""

from riskpipe.domain.replication import FIGURES, FigureReplication, Replication


def figure(venue="alpha", name="equity", *, accounts=1.0, usd=None, reporting=100.0, of=100.0, is_money=True):
    """One figure: `reporting` of `of` accounts report it; these shares of accounts and of USD (the same) match."""
    money = 1e6 * reporting if is_money else 0.0
    return FigureReplication(
        venue=venue,
        figure=name,
        accounts=of,
        reporting=reporting,
        matched=accounts * reporting,
        n_mismatched=round((1.0 - accounts) * reporting),
        reported_usd=money,
        matched_usd=(accounts if usd is None else usd) * money,
        computed_usd=1e6 * of,
        covered_usd=1e6 * reporting,
    )


def replication(*mismatches, **shares):
    """Both figures of each venue given with its matched share (None = not reported)."""
    return Replication(
        tuple(
            figure(venue, name, accounts=share or 0.0, reporting=0.0 if share is None else 100.0)
            for venue, share in shares.items()
            for name in FIGURES
        ),
        mismatches,
    )
