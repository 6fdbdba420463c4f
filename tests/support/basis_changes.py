"""Invented hourly changes of a basis."""

import numpy as np


def garch_series(n, *, omega, alpha, beta, nu=6.0, seed=1):
    """Draws of a GARCH(1,1) with Student t innovations of unit variance."""
    random = np.random.default_rng(seed)
    z = random.standard_t(nu, n) * np.sqrt((nu - 2.0) / nu)
    x, h = np.empty(n), omega / (1.0 - alpha - beta)
    for t in range(n):
        x[t] = np.sqrt(h) * z[t]
        h = omega + alpha * x[t] ** 2 + beta * h
    return x


def basis_changes(n=4_000, seed=1, n_gaps=20):
    """Changes of a basis that is pulled back, with clustered volatility of a few basis points, and gaps."""
    shocks = garch_series(n, omega=2e-9, alpha=0.08, beta=0.88, seed=seed)
    level, changes = 0.0, np.empty(n)
    for t in range(n):
        changes[t] = shocks[t] - 0.4 * level
        level += changes[t]
    changes[np.random.default_rng(seed).integers(200, n, n_gaps)] = np.nan
    return changes
