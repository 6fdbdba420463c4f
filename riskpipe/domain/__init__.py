"""Nouns: what a snapshot, a book, a market and a scenario set are. No behaviour beyond their own invariants."""
