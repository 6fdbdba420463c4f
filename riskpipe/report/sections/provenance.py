"""Provenance: findings, controls, parameters, versions, hashes and timings."""

import json
from collections import Counter

from riskpipe.domain.findings import Severity
from riskpipe.report import numbers
from riskpipe.report.document import Block, Code, Paragraph, Section, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.wording import column

_CONTROL_ORDER = {"differs": 0, "not checked": 1, "ok": 2}
MAX_NAMED = 5
_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


def findings_section(report: ReportInput) -> Section:
    """What the night noticed."""
    found = sorted(report.findings, key=lambda finding: _ORDER[finding.severity])
    if not found:
        return Section("findings", "Findings", (Paragraph("The night noticed nothing out of the ordinary."),))
    table = Table(
        "findings",
        f"{numbers.plural(len(found), 'finding')}, the most severe first",
        (
            column("severity", "Severity", "text", [str(one.severity) for one in found]),
            column("reason", "Reason", "text", [str(one.reason) for one in found]),
            column("where", "Where", "text", [one.where for one in found]),
            column("message", "Message", "text", [one.message for one in found]),
            column("count", "Count", "count", [one.count for one in found]),
            column("examples", "Examples", "text", [", ".join(one.examples) for one in found]),
        ),
        n_shown=200,
        tone_column="severity",
    )
    return Section("findings", "Findings", (table,))


def controls_section(report: ReportInput) -> Section:
    """Control totals; what was not measured says so."""
    controls = sorted(report.controls, key=lambda one: _CONTROL_ORDER.get(one.status, 0))
    if not controls:
        return Section("controls", "Controls", (Paragraph("Not checked: the night ran no control.", "unknown"),))
    table = Table(
        "controls",
        f"Control totals: {control_words(report)}",
        (
            column("status", "Status", "text", [one.status for one in controls]),
            column("name", "Control", "text", [one.name for one in controls]),
            column("subject", "Subject", "text", [one.subject for one in controls]),
            column("value", "Value", "number", [one.value for one in controls]),
            column("expected", "Expected", "number", [one.expected for one in controls]),
            column("detail", "Detail", "text", [one.detail for one in controls]),
        ),
        n_shown=200,
        tone_column="status",
    )
    return Section("controls", "Controls", (table,))


def control_words(report: ReportInput) -> str:
    """State of the controls in words: `3 ok, 1 differs, 2 not checked`."""
    counted = Counter(one.status for one in report.controls)
    return ", ".join(f"{counted[status]} {status}" for status in ("ok", "differs", "not checked") if counted[status])


def unproven_words(report: ReportInput) -> str:
    """The controls that differ or were not checked, by name."""
    parts = []
    for status in ("differs", "not checked"):
        names = [f"{one.name} ({one.subject})" for one in report.controls if one.status == status]
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        if names:
            parts.append(f"{status}: {', '.join(names[:MAX_NAMED])}{more}")
    return "; ".join(parts)


def source_words(report: ReportInput) -> str:
    """Where the data come from."""
    said = list(dict.fromkeys(one for one in report.sources if one))
    return f"Source: {'; '.join(said)}" if said else "Source: the snapshot names none"


def finding_words(report: ReportInput) -> str:
    """Findings by severity in words: `5 findings (1 error, 4 warnings)`."""
    counted = Counter(one.severity for one in report.findings)
    parts = [numbers.plural(counted[one], "info" if one == "info" else str(one)) for one in _ORDER if counted[one]]
    total = numbers.plural(len(report.findings), "finding")
    return f"{total} ({', '.join(parts).replace('infos', 'info')})" if parts else total


def method_section(report: ReportInput) -> Section:
    """How it was computed: parameters, versions, inputs and timings."""
    blocks: list[Block] = [
        Paragraph(
            "Every scenario is computed alone over the whole book: the shocked market, the cascade of forced closings "
            "and the price moves they cause, close-out, and each fund's waterfall. Notional is valued at the shocked "
            "mark, options at their premium. Options are repriced at forwards that move with the index, and at "
            "volatilities that move by one share for every strike and expiry: smiles do not move and no time passes. "
            "Grids have no probabilities, so that no quantile is taken over them. The definitions are in "
            "ARCHITECTURE.md, section Model."
        ),
        Paragraph(f"{source_words(report)}."),
        Table(
            "timings",
            "Time by stage",
            (
                column("stage", "Stage", "text", list(report.timings)),
                column("seconds", "Time", "seconds", [float(value) for value in report.timings.values()]),
            ),
        ),
        *_preflight(report),
        *_slow_blocks(report),
        Table(
            "inputs",
            "Inputs and their hashes",
            (
                column("input", "Input", "text", list(report.input_hashes)),
                column("sha256", "SHA-256", "code", list(report.input_hashes.values())),
            ),
            n_shown=100,
        ),
        Table(
            "versions",
            "Versions",
            (
                column("package", "Package", "text", list(report.versions)),
                column("version", "Version", "code", list(report.versions.values())),
            ),
            n_shown=100,
        ),
        Code(
            "Parameters: the configuration as resolved",
            json.dumps(report.config, indent=2, sort_keys=True, ensure_ascii=False, default=str),
        ),
    ]
    return Section("method", "Method and parameters", tuple(blocks))


def _preflight(report: ReportInput) -> list[Block]:
    """What the run was forecast to take, and took."""
    if not report.preflight:
        return []
    what, predicted, measured = (list(words) for words in zip(*report.preflight, strict=True))
    return [
        Table(
            "preflight",
            "Predicted before the blocks, and measured",
            (
                column("what", "What", "text", what),
                column("predicted", "Predicted", "text", predicted),
                column("measured", "Measured", "text", measured),
            ),
        )
    ]


def _slow_blocks(report: ReportInput) -> list[Block]:
    """Which blocks took longest, and where."""
    if not report.slow_blocks:
        return []
    blocks, scenarios, seconds, hosts, tries = (list(values) for values in zip(*report.slow_blocks, strict=True))
    return [
        Table(
            "slow_blocks",
            "Blocks that took longest, of the try that counts",
            (
                column("block", "Block", "id", blocks),
                column("scenarios", "Scenarios", "text", scenarios),
                column("seconds", "Time", "seconds", seconds),
                column("host", "Host", "text", hosts),
                column("tries", "Tries", "count", tries),
            ),
        )
    ]
