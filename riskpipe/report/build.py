"""From measures to the document tree: what to know first, then the sections in the order in which people ask."""

from datetime import UTC

from riskpipe.report import numbers
from riskpipe.report.document import Document
from riskpipe.report.head import candidates, graded_figures, head_points, with_rest
from riskpipe.report.points import weighted_accounts
from riskpipe.report.report_input import ReportInput
from riskpipe.report.sections.attribution import attribution_sections
from riskpipe.report.sections.basis import basis_section
from riskpipe.report.sections.changes import changes_section
from riskpipe.report.sections.concentration import concentration_section, distances_section
from riskpipe.report.sections.contagion import contagion_section
from riskpipe.report.sections.engine_backtest import engine_backtest_section
from riskpipe.report.sections.exhaustion import exhaustion_sections
from riskpipe.report.sections.funds import funds_section
from riskpipe.report.sections.lending import loans_sections
from riskpipe.report.sections.limits import limits_section
from riskpipe.report.sections.liquidation import liquidation_section
from riskpipe.report.sections.nights import nights_sections
from riskpipe.report.sections.provenance import (
    controls_section,
    findings_section,
    method_section,
    source_words,
)
from riskpipe.report.sections.replication import replication_section
from riskpipe.report.sections.spreads import spreads_section
from riskpipe.report.sections.validation import validation_section
from riskpipe.report.sections.variants import variants_section


def build(report: ReportInput) -> Document:
    """Build the document tree of a night."""
    flat = report.measures["liquidation"]
    n_variants = report.measures["variants"].sizes["variant"]
    n_accounts = report.cube["accounts"].sizes["account"]
    as_of = report.as_of.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    gross = []
    if report.summary is not None:
        notional, debt = float(report.summary["gross_notional_usd"]), float(report.summary.get("debt_usd", 0.0))
        gross += [f"{numbers.usd(notional)} gross notional"] if notional > 0.0 or debt == 0.0 else []
        covered = float(report.summary.get("options_underlying_usd", 0.0))
        gross += [f"options in it at their premium (they are on {numbers.usd(covered)})"] if covered > 0.0 else []
        gross += [f"{numbers.usd(debt)} of debt"] if debt > 0.0 else []
    subtitle = ", ".join(
        (
            f"as of {as_of}",
            f"run {report.run_id}",
            f"{numbers.plural(weighted_accounts(report), 'account')} in {numbers.plural(n_accounts, 'account row')}",
            *gross,
            numbers.plural(flat.sizes["scenario"], "scenario"),
            numbers.plural(n_variants, "variant"),
            numbers.plural(report.n_blocks, "block"),
        )
    )
    found = candidates(report)
    return Document(
        title=f"Liquidation and basis risk: {report.book}" if report.book else "Liquidation and basis risk",
        subtitle=subtitle,
        source=source_words(report),
        points=head_points(found),
        figures=graded_figures(report),
        sections=with_rest(
            found,
            (
                *limits_section(report),
                liquidation_section(report),
                funds_section(report),
                *exhaustion_sections(report),
                *loans_sections(report),
                variants_section(report),
                *changes_section(report),
                *nights_sections(report),
                *engine_backtest_section(report),
                concentration_section(report),
                contagion_section(report),
                *attribution_sections(report),
                distances_section(report),
                basis_section(report),
                spreads_section(report),
                validation_section(report),
                replication_section(report),
                findings_section(report),
                controls_section(report),
                method_section(report),
            ),
        ),
    )
