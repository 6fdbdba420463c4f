"""The report: measures and provenance as one document tree, rendered to HTML, JSON, Parquet and Markdown."""
