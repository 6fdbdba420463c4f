"""Whether forecasts were right: losses, coverage of value at risk, expected shortfall, rolling forecasts."""
