"""Assemble: snapshots in, one book out: validated, quarantined, joined, as arrays in canonical order."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from riskpipe.domain.book import Book
from riskpipe.domain.findings import Findings
from riskpipe.domain.snapshot import Snapshot
from riskpipe.errors import InputRefused
from riskpipe.ingest.columns import booleans, coded, floats, nulls, one_piece, rows_of, starts, unique_names
from riskpipe.ingest.join import join, join_problems
from riskpipe.ingest.loans import is_lending, report_missing_thresholds
from riskpipe.ingest.part import Part
from riskpipe.ingest.pools import build_pools
from riskpipe.ingest.portfolios import is_portfolio
from riskpipe.ingest.reference_arrays import (
    Labels,
    asset_arrays,
    collateral_arrays,
    fund_arrays,
    instrument_arrays,
    order_labels,
    tier_arrays,
)
from riskpipe.ingest.validate import validate
from riskpipe.ingest.venue_tables import VenueTables, completed


def _entities(accounts: pa.Table) -> tuple[dict[str, np.ndarray], pa.Array]:
    """Return the entity arrays and labels, entities in order of their first account.

    An account without entity_id is an entity of its own even if its account_id reads like somebody's entity_id.
    """
    n_accounts = accounts.num_rows
    rows = np.arange(n_accounts)
    has_entity = ~nulls(accounts, "entity_id")
    first_row = rows.copy()  # of each account's entity
    known = np.flatnonzero(has_entity)
    entities = coded(accounts.column("entity_id"))
    codes = entities.indices.drop_null().to_numpy()
    first_of_code = np.full(len(entities.dictionary), n_accounts)
    first_of_code[codes[::-1]] = known[::-1]
    first_row[known] = first_of_code[codes]
    is_first = first_row == rows
    entity = (np.cumsum(is_first) - 1)[first_row].astype(np.int32)
    names = pa.concat_arrays([entities.dictionary, one_piece(accounts.column("account_id"))])
    name = rows + len(entities.dictionary)
    name[known] = codes
    arrays = {
        "account_entity": entity,
        "account_has_entity": has_entity,
        "entity_account_start": starts(np.bincount(entity, minlength=int(is_first.sum()))),
        "entity_account": np.argsort(entity, kind="stable").astype(np.int32),
    }
    return arrays, names.take(pa.array(name[is_first]))


def _account_arrays(part: Part, labels: Labels) -> tuple[dict[str, np.ndarray], dict[str, pa.Array]]:
    accounts = part.tables["accounts"]
    weight = floats(accounts, "weight")
    segment = unique_names(accounts.column("segment"))
    entities, entity_names = _entities(accounts)
    arrays = {
        "account_venue": rows_of(accounts.column("venue"), labels.venue),
        "account_segment": rows_of(accounts.column("segment"), segment),
        "account_weight": np.where(np.isnan(weight), 1.0, weight),
        "account_is_exempt": booleans(accounts, "liquidation_exempt"),
        "account_is_lending": is_lending(accounts),
        "account_is_portfolio": is_portfolio(accounts),
        "account_reported_equity": floats(accounts, "reported_equity"),
        "account_reported_maintenance_margin": floats(accounts, "reported_maintenance_margin"),
        **entities,
    }
    return arrays, {"account": one_piece(accounts.column("account_id")), "entity": entity_names, "segment": segment}


def _build_book(part: Part, findings: Findings) -> Book:
    labels = order_labels(part)
    instruments = instrument_arrays(part, labels)
    with ThreadPoolExecutor() as threads:
        pools = threads.submit(
            build_pools,
            part,
            balance_asset=rows_of(part.assets, labels.asset)[part.balance_asset],
            settlement=instruments["instrument_settlement"],
            is_lending=is_lending(part.tables["accounts"]),
        )
        accounts, account_labels = _account_arrays(part, labels)
    arrays = {
        **accounts,
        **pools.result()._asdict(),
        **instruments,
        **tier_arrays(part, findings),
        **asset_arrays(part, labels, findings),
        **collateral_arrays(part, labels, findings),
        **fund_arrays(part, labels),
    }
    book = Book(
        as_of=part.as_of,
        numeraire=part.numeraire,
        labels={
            "venue": labels.venue,
            "asset": labels.asset,
            "instrument": one_piece(part.tables["instruments"].column("instrument_id")),
            "fund": labels.fund,
            **account_labels,
        },
        **{name: np.ascontiguousarray(array) for name, array in arrays.items()},
    )
    report_missing_thresholds(book, findings)
    return book


def assemble(
    snapshots: Sequence[Snapshot],
    *,
    max_quarantined_share: float = 0.01,
    venues: Mapping[str, VenueTables] | None = None,
) -> tuple[Book, Findings]:
    """Assemble one book from the snapshots of one instant, usually one for each venue.

    Parameters
    ----------
    snapshots: as read, at least one; their order is the order of the book. Each must hold every price it needs itself.
    max_quarantined_share: largest share of a snapshot's gross notional that may be quarantined, in [0, 1].
    venues: what venues' own rules bring, by venue: tables that snapshots lack (see `completed`), and for which
        underlyings they margin portfolios. None: nothing is known of the rules, and a finding tells which portfolio
        accounts were not checked against them.

    Returns
    -------
    book: arrays in canonical order; every float is finite except where `Book` says that NaN means "none".
    findings: those of reading, then of each snapshot's validation, then of joining.

    Raises
    ------
    InputRefused: with every problem of every snapshot.
    ValueError: no snapshot, or a share outside [0, 1].
    """
    if not snapshots:
        raise ValueError("assemble needs at least one snapshot, got none")
    if not 0.0 <= max_quarantined_share <= 1.0:
        raise ValueError(f"max_quarantined_share must be from 0 to 1, got {max_quarantined_share!r}")
    findings = Findings()
    if venues is not None:
        snapshots = [completed(snapshot, venues) for snapshot in snapshots]
    problems = list(join_problems(snapshots))
    parts: list[Part] = []
    for snapshot in snapshots:
        validation = validate(snapshot, max_quarantined_share=max_quarantined_share, venues=venues)
        where = f"{snapshot.uri}: " if len(snapshots) > 1 else ""
        problems += [where + problem for problem in validation.problems]
        findings.extend(validation.findings)
        if validation.part is not None:
            parts.append(validation.part)
    if problems:
        names = ", ".join(snapshot.uri for snapshot in snapshots)
        raise InputRefused(f"snapshot {names}", problems)
    return _build_book(join(parts, findings), findings), findings
