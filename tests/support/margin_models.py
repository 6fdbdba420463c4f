"""Position models drawn at random: tiers of either unit, rates that grow with size."""

from hypothesis import strategies as st

from riskpipe.margin.model import SizeSlope, Tiered

FEES = st.sampled_from([0.0, 0.0, 0.0005, 0.01])


@st.composite
def tiered_models(draw):
    n = draw(st.integers(1, 7))
    unit = draw(st.sampled_from(["usd", "coin"]))
    low = draw(st.floats(1.0, 1e7)) if unit == "usd" else 10.0 ** draw(st.floats(-3.0, 5.0))
    floors, maintenance, initial = [0.0], [draw(st.floats(1e-4, 0.05))], []
    for _ in range(n - 1):
        floors.append(floors[-1] + low * draw(st.floats(0.1, 10.0)))
        maintenance.append(maintenance[-1] + draw(st.floats(0.0, 0.1)))
    factor = draw(st.floats(1.0, 2.0))
    initial = [factor * rate for rate in maintenance]
    return Tiered(
        floors=tuple(floors),
        initial_rates=tuple(initial),
        maintenance_rates=tuple(maintenance),
        unit=unit,
        valued_at=draw(st.sampled_from(["mark", "entry"])),
        fee_rate=draw(FEES),
    )


@st.composite
def size_slopes(draw):
    rates = sorted(draw(st.floats(1e-4, 0.2)) for _ in range(2))
    slopes = sorted(draw(st.sampled_from([0.0, 4e-6, 5e-5, 1e-3])) for _ in range(2))
    return SizeSlope(
        initial_rate=rates[1],
        maintenance_rate=rates[0],
        initial_slope=slopes[1],
        maintenance_slope=slopes[0],
        valued_at=draw(st.sampled_from(["mark", "entry"])),
        fee_rate=draw(FEES),
    )
