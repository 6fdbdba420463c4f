"""What every position model must satisfy, as a class to subclass.

    class TestMyModel(PositionModelConformance):
        def models(self): return st.builds(MyModel, ...)
        def restated(self, model, holding): return maintenance, initial   # in other words, USD
        def in_other_units(self, model, usd, coin): return MyModel(...)

pytest collects the subclass, and every law below is tried on models and holdings drawn by hypothesis.
"""

import math
from dataclasses import fields, replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from riskpipe.margin.model import Holding

# a law is written once and tried by every subclass, which hypothesis takes for one test with several owners
law = settings(suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow])
NUMBERS = [field.name for field in fields(Holding) if field.name != "is_inverse"]
CLOSE = 1e-9


@st.composite
def holdings(draw):
    """Positions of every kind: a cent to a billion dollars, either side, prices from a thousandth to a million."""
    inverse = draw(st.booleans())
    mark = 10.0 ** draw(st.floats(-3.0, 6.0))
    quote = draw(st.sampled_from([1.0, 0.97, 1.0003, 1.25]))
    notional = 10.0 ** draw(st.floats(-2.0, 9.0))
    side = draw(st.sampled_from([1.0, -1.0]))
    return Holding(
        size=side * notional / (1.0 if inverse else mark),
        is_inverse=inverse,
        entry_price=mark * draw(st.floats(0.3, 3.0)),
        mark_price=mark,
        quote_price=quote,
        settlement_price=quote * draw(st.floats(0.95, 1.05)) * (mark if inverse else 1.0),
    )


def both(model, holding):
    return model.maintenance_margin(holding), model.initial_margin(holding)


class PositionModelConformance:
    """Subclass and give `models`, `restated` and `in_other_units`; `edges` where the requirement has tiers."""

    def models(self):
        """Return a hypothesis strategy of models."""
        raise NotImplementedError

    def restated(self, model, holding):
        """Return maintenance and initial margin in USD, computed in other words than the model's."""
        raise NotImplementedError

    def in_other_units(self, model, usd, coin):
        """Return the model for money counted in units of 1/usd dollars, and coins in units of 1/coin coins."""
        raise NotImplementedError

    def holdings(self):
        """Return a hypothesis strategy of positions that the model is made for."""
        return holdings()

    def edges(self, model, holding):  # noqa: ARG002  for models with tiers
        """Return the sizes, without sign, at which the requirement changes its law."""
        return []

    def draw(self, data):
        model, holding = data.draw(self.models()), data.draw(self.holdings())
        edges = [edge for edge in self.edges(model, holding) if edge > 0.0]
        if edges and data.draw(st.booleans()):
            size = data.draw(st.sampled_from(edges))
            holding = replace(holding, size=math.copysign(size, holding.size))
        return model, holding

    @law
    @given(st.data())
    def test_maintenance_is_not_negative_and_never_above_initial(self, data):
        maintenance, initial = both(*self.draw(data))
        assert -CLOSE * initial <= maintenance <= initial * (1.0 + CLOSE)

    @law
    @given(st.data(), st.floats(1.0, 1e3))
    def test_requirements_never_fall_as_the_position_grows(self, data, factor):
        model, holding = self.draw(data)
        grown = both(model, replace(holding, size=holding.size * factor))
        for less, more in zip(both(model, holding), grown, strict=True):
            assert less <= more * (1.0 + CLOSE)

    @law
    @given(st.data())
    def test_maintenance_is_continuous_in_size_also_at_edges(self, data):
        model, holding = self.draw(data)
        step = 1e-7
        below, above, twice = (
            model.maintenance_margin(replace(holding, size=holding.size * factor))
            for factor in (1.0 - step, 1.0 + step, 2.0)
        )
        # as steep as its growth up to twice the size, with room: a jump of a tier is thousands of times larger
        assert abs(above - below) <= 100.0 * step * twice

    @law
    @given(st.data())
    def test_no_position_requires_nothing(self, data):
        model, holding = self.draw(data)
        assert both(model, replace(holding, size=0.0)) == (0.0, 0.0)

    @law
    @given(st.data())
    def test_long_and_short_are_margined_alike(self, data):
        model, holding = self.draw(data)
        assert both(model, replace(holding, size=-holding.size)) == both(model, holding)

    @law
    @given(st.data(), st.sampled_from(NUMBERS))
    def test_nan_in_is_nan_out_unless_the_number_does_not_matter(self, data, name):
        model, holding = self.draw(data)
        unknown = both(model, replace(holding, **{name: math.nan}))
        other = both(model, replace(holding, **{name: getattr(holding, name) * 1.5}))
        for number, known, changed in zip(unknown, both(model, holding), other, strict=True):
            assert math.isnan(number) or (name != "size" and number == known == changed)

    @law
    @given(st.data(), st.sampled_from([1e-3, 0.5, 1.0, 1e4]), st.sampled_from([1e-6, 1.0, 8.0, 1e3]))
    def test_requirements_follow_the_units_of_money_and_of_coins(self, data, usd, coin):
        model, holding = self.draw(data)
        changed = replace(
            holding,
            size=holding.size * (1.0 if holding.is_inverse else coin),
            entry_price=holding.entry_price / coin,
            mark_price=holding.mark_price / coin,
            quote_price=holding.quote_price * usd,
            settlement_price=holding.settlement_price * usd / (coin if holding.is_inverse else 1.0),
        )
        found = both(self.in_other_units(model, usd, coin), changed)
        expected = both(model, holding)
        # a position at an edge may fall on either side of it, where initial margin jumps
        near = [both(model, replace(holding, size=holding.size * factor)) for factor in (1.0 - 1e-12, 1.0 + 1e-12)]
        for k in range(2):
            candidates = [expected[k], near[0][k], near[1][k]]
            assert any(found[k] == pytest.approx(usd * value, rel=CLOSE) for value in candidates)

    @law
    @given(st.data())
    def test_requirements_equal_their_restatement(self, data):
        model, holding = self.draw(data)
        assert both(model, holding) == pytest.approx(self.restated(model, holding), rel=CLOSE, abs=0.0)

    @law
    @given(st.data(), st.floats(0.2, 5.0), st.sampled_from(["maintenance", "initial"]))
    def test_pieces_are_the_requirement_as_the_mark_moves(self, data, factor, requirement):
        model, holding = self.draw(data)
        assume(hasattr(model, "pieces"))
        moved = holding.at_mark(holding.mark_price * factor)
        pieces = model.pieces(holding, requirement)
        assert pieces[0].lower == 0.0
        assert [piece.upper for piece in pieces] == [*(piece.lower for piece in pieces[1:]), math.inf]
        x = 1.0 / moved.mark_price if holding.is_inverse else moved.mark_price
        expected = getattr(model, f"{requirement}_margin")(moved) / moved.settlement_price
        # at an edge, rounding may put the mark on either side
        values = [
            piece.constant + x * (piece.slope + x * piece.curvature)
            for piece in pieces
            if piece.lower * (1.0 - 1e-12) <= x <= piece.upper * (1.0 + 1e-12)
        ]
        assert any(value == pytest.approx(expected, rel=1e-7) for value in values)
