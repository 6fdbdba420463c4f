"""Ingest: snapshots read, validated, quarantined, joined and turned into one book."""
