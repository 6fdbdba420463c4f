"""Limits of a configuration, and what is wrong with their wording, before anything is computed."""

from riskpipe.config import RunConfig
from riskpipe.cube.template import scenario_coordinates
from riskpipe.domain.limits import Limit
from riskpipe.errors import ConfigError
from riskpipe.measures.limits import limit_problems
from riskpipe.measures.registry import MEASURES, Options, take_measures
from riskpipe.measures.shapes import blank_cube
from riskpipe.run.addresses import addresses_of
from riskpipe.run.wiring import scenarios_of


def limits_of(config: RunConfig) -> list[Limit]:
    """Return the limits of a configuration, in its order."""
    return [given.limit(name) for name, given in config.risk_limits.items()]


def check_risk_limits(config: RunConfig) -> None:
    """Check limits before anything is computed: measures, variables, dimensions and labels known by then, addresses.

    Labels of the data (funds, contracts, accounts) are not: a contract that is no longer listed must not stop a night.
    Its limit is not measured then, and says so. Raises ConfigError listing everything wrong with any limit.
    """
    limits = limits_of(config)
    if not limits:
        return
    simulated = config.scenarios.simulated
    if simulated is not None:  # two scenarios have the labels of a million
        few = config.scenarios.model_copy(update={"simulated": simulated.model_copy(update={"n": min(simulated.n, 2)})})
        config = config.model_copy(update={"scenarios": few})
    scenarios = scenarios_of(config)
    names = [name for name in dict.fromkeys(limit.measure for limit in limits) if name in MEASURES]
    options = Options(n_worst=config.report.worst_cells)
    shapes = take_measures(blank_cube(scenario_coordinates(scenarios), scenarios.sets), options, names)
    problems = limit_problems(limits, shapes)
    try:
        addresses_of(config.alerts)
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise ConfigError(f"limits cannot be held: {len(problems)} problem{'s' * (len(problems) > 1)}{listed}")
