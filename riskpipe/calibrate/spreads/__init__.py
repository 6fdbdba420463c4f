"""Spreads between prices of one thing: series, joint behaviour, what a hedged position risks, and views of carry."""
