"""Names of owners as the report writes them."""

from riskpipe.report.report_input import ReportInput


def entity_name(report: ReportInput, index: int) -> str:
    """Name of an entity by its index; its number where the names are not at hand."""
    if index < 0:
        return "none"
    return str(report.entity_labels[index]) if index < len(report.entity_labels) else f"entity {index}"
