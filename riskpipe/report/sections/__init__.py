"""Sections of the report: each turns measures into blocks of the document tree."""
