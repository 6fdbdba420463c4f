"""Thin Prefect flows over the stages of a night."""
