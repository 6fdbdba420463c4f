"""Alerts: who is told of a published night's limits that are over, once for each limit, address and run.

What an address has been told is kept in the run's folder; whoever tells it claims that object first, so that two
processes of the same night do not both. A process that dies between a delivery and its record leaves its claim: the
next one waits for its end, and then tells again rather than not at all.
"""

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from riskpipe.cube.digest import canonical_json
from riskpipe.cube.layout import run_prefix
from riskpipe.cube.protocol import Store
from riskpipe.domain.instant import format_as_of
from riskpipe.domain.limits import LimitState, more_severe
from riskpipe.errors import masked
from riskpipe.report.sections.limits import level_words, state_words
from riskpipe.run.addresses import Address, Undelivered, addresses_of, send
from riskpipe.run.night import Night

CLAIM = timedelta(minutes=5)
"""How long others wait for a process that has begun to tell; longer than any delivery takes."""


@dataclass(frozen=True)
class Alerts:
    """Who was told of what, now.

    Attributes
    ----------
    told: limits by the address's name. failed: why an address could not be told. n_due: limits to tell of.
    n_addresses: configured.
    """

    told: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    n_due: int = 0
    n_addresses: int = 0

    def as_text(self) -> str:
        """One line for a person; empty where there was nothing to tell."""
        if self.n_due == 0:
            return ""
        if self.n_addresses == 0:
            return "alerts: nobody is told: there is no address (set RISKPIPE_NOTIFY_URL, or name others in alerts)"
        told = [f"{name} of {', '.join(limits)}" for name, limits in self.told.items()]
        failed = [f"not {name} ({why})" for name, why in self.failed.items()]
        return f"alerts: told {'; '.join([*told, *failed]) or 'nobody anew: all were told before'}"


def alert(night: Night, states: Sequence[LimitState]) -> Alerts:
    """Tell every address of a published night's limits that are over, each limit once; failures are returned."""
    due = [state for state in states if state.is_told(night.config.alerts.least)]
    if not due:
        return Alerts()
    addresses = addresses_of(night.config.alerts)
    told, failed = {}, {}
    for address in addresses:
        try:
            if names := _tell(night, address, due):
                told[address.name] = names
        except Undelivered as error:
            failed[address.name] = str(error)
    return Alerts(told, failed, len(due), len(addresses))


def _tell(night: Night, address: Address, due: Sequence[LimitState]) -> list[str]:
    """Tell one address of what it has not been told, and return that."""
    store, key = night.store, f"{run_prefix(night.run_id)}/alerts/{address.name}.json"
    before = store.get(key)
    record = _read(store, key, before)
    new = [one for one in due if one.limit.name not in record["told"] or
           more_severe(one.level, record["told"][one.limit.name]["level"])]  # fmt: skip
    if not new:
        return []
    now = store.now()
    if record["claim"] is not None:
        since = datetime.fromisoformat(record["claim"]["since"])
        if now - since < CLAIM:
            raise Undelivered(
                f"{record['claim']['by']} has begun to tell it at {format_as_of(since)}: should that have died, run "
                f"the same night again after {format_as_of((since + CLAIM).replace(microsecond=0))}"
            )
    claim = {"since": now.replace(microsecond=0).isoformat(), "by": f"process {os.getpid()} on {socket.gethostname()}"}
    if not store.swap(key, before, canonical_json(record | {"claim": claim})):
        raise Undelivered("another process has just begun to tell it: run the same night again to see whether it did")
    try:
        send(address, alert_title(night, new), alert_body(night, new))
    except Undelivered:
        _settle(store, key, {})
        raise
    at = store.now().isoformat(timespec="seconds")
    _settle(store, key, {one.limit.name: {"level": one.level, "at": at} for one in new})
    return [one.limit.name for one in new]


def _settle(store: Store, key: str, told: dict[str, Any]) -> None:
    """Give a claim back, and record what was told."""
    while True:
        before = store.get(key)
        record = _read(store, key, before)
        if store.swap(key, before, canonical_json({"claim": None, "told": record["told"] | told})):
            return


def _read(store: Store, key: str, data: bytes | None) -> dict[str, Any]:
    """Return what an address has been told, and who is about to tell it; a torn record counts as nothing told."""
    try:
        record = {} if data is None else json.loads(data)
        return {"claim": record.get("claim"), "told": dict(record.get("told", {}))}
    except (ValueError, AttributeError, TypeError) as error:
        raise Undelivered(f"{store.uri}/{key} is torn ({error}): delete it and run the night again") from error


def alert_title(night: Night, states: Sequence[LimitState]) -> str:
    """Return the subject: how many limits are how far, of which book and night."""
    book = f"{night.config.book}, " if night.config.book else ""
    return f"riskpipe: {level_words(states)} ({book}{format_as_of(night.as_of)})"


def alert_body(night: Night, states: Sequence[LimitState]) -> str:
    """Return what is over, by how much, whose it is and what to do, then where the report is."""
    lines = [
        line
        for state in states
        for line in (
            f"{state.level.upper()}: {state.limit.name}: {state_words(state)}",
            f"  Owner: {state.limit.owner}. To do: {state.limit.action}",
        )
    ]
    book = f" --book {night.config.book}" if night.config.book else ""
    command = f"riskpipe acknowledge {night.store.uri} {states[0].limit.name}"
    lines += [
        "",
        f"Run {night.run_id}, report {night.store.uri}/{run_prefix(night.run_id)}/report/index.html",
        f"To acknowledge: {command} --by NAME --why REASON --as-of {format_as_of(night.as_of)}{book}",
    ]
    return masked("\n".join(_harmless(line) for line in lines))


def _harmless(line: str) -> str:
    """Return a line in which names from data cannot be markup, a mention or a line of their own."""
    replaced = line.translate({ord("<"): "\u2039", ord(">"): "\u203a", ord("@"): "\uff20"})
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in replaced)
