"""Calibrate: price history and quotes to a Market: basis statistics, betas, depth."""
