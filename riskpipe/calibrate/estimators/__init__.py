"""Volatility of basis changes: estimators behind one interface, what tells whether a fit may be used, and tails."""
