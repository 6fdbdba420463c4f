"""The tail that an expected shortfall is the mean of: which scenarios, and how much each counts."""

import numpy as np

from riskpipe.measures.cells import FloatArray
from riskpipe.measures.distribution import quantile, require_probabilities


def tail_weights(losses: FloatArray, probability: FloatArray, level: float) -> FloatArray:
    """Weights [n] that add up to 1, of the worst 1 - level: their mean loss is `distribution.tail_mean`.

    Losses above the quantile count whole. Those equal to it share what is left of the tail by their probability, so
    that whatever adds up to the losses adds up to expected shortfall, too (Euler's rule; for atoms at the quantile it
    is one of several, the one that favours none).

    Source: Tasche, Allocating portfolio economic capital to sub-portfolios (2004); Acerbi and Tasche (2002).

    Parameters
    ----------
    losses: [n] USD.
    probability: [n]; see `distribution.require_probabilities`.
    level: in (0, 1).

    Raises
    ------
    ValueError: scenarios without probability, or a level outside (0, 1).
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be in (0, 1), got {level}")
    weights = require_probabilities(probability)
    at = quantile(losses, probability, level)
    beyond = np.where(losses > at, weights, 0.0)
    atoms = np.where(losses == at, weights, 0.0)
    left = max(0.0, (1.0 - level) - float(beyond.sum()))
    return np.asarray((beyond + atoms * (left / float(atoms.sum()))) / (1.0 - level))
