"""Vectors: as many single-precision numbers as lanes are taken at once, a value of compiled code like any other number.

Numba's own loops are turned into vector instructions by the compiler, with checks and remainders around each; here a
value over 32 lanes stays in registers from one operation to the next.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from riskpipe.liquidation.footprint import WIDTH, WORD

_ROW = ir.VectorType(ir.FloatType(), WIDTH)
_ZERO = ir.Constant(_ROW, [0.0] * WIDTH)
_NOTHING = ir.Constant(_ROW, ir.Undefined)


class Vector(types.Type):
    """Type of a single-precision number in each of WIDTH lanes."""

    def __init__(self) -> None:
        super().__init__(name=f"float32 x {WIDTH}")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, of: Any) -> None:  # noqa: ANN401  numba's own types, not values
        super().__init__(manager, of, _ROW)


_VECTOR = Vector()


def _operation(n_vectors: int, build: Callable[..., Any], result: Any = _VECTOR) -> Any:  # noqa: ANN401
    """Return an intrinsic of some vectors."""
    if n_vectors == 1:

        @intrinsic
        def of_one(_context: Any, _a: Any) -> Any:  # noqa: ANN401
            return result(_VECTOR), lambda _c, builder, _s, given: build(builder, *given)

        return of_one
    if n_vectors == 2:

        @intrinsic
        def of_two(_context: Any, _a: Any, _b: Any) -> Any:  # noqa: ANN401
            return result(_VECTOR, _VECTOR), lambda _c, builder, _s, given: build(builder, *given)

        return of_two

    @intrinsic
    def of_three(_context: Any, _a: Any, _b: Any, _c: Any) -> Any:  # noqa: ANN401
        return result(_VECTOR, _VECTOR, _VECTOR), lambda _c, builder, _s, given: build(builder, *given)

    return of_three


@intrinsic
def spread(_context: Any, _number: Any) -> Any:  # noqa: ANN401
    """Return a vector with one number, of single precision, in every lane."""

    def generate(_c: Any, builder: Any, _s: Any, arguments: Any) -> Any:  # noqa: ANN401
        first = builder.insert_element(_NOTHING, arguments[0], ir.Constant(ir.IntType(32), 0))
        every = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        return builder.shuffle_vector(first, _NOTHING, every)

    return _VECTOR(types.float32), generate


@intrinsic
def lanes_of(_context: Any, rows: Any, _row: Any, _first: Any) -> Any:  # noqa: ANN401
    """Return rows[row, first : first + WIDTH] of a contiguous array in single precision."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.load(_place(context, builder, signature, arguments), align=4)

    return _VECTOR(rows, types.intp, types.intp), generate


@intrinsic
def put_lanes(_context: Any, rows: Any, _row: Any, _first: Any, _value: Any) -> Any:  # noqa: ANN401
    """Set rows[row, first : first + WIDTH] of a contiguous array in single precision to a vector."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        builder.store(arguments[3], _place(context, builder, signature, arguments), align=4)
        return context.get_dummy_value()

    return types.void(rows, types.intp, types.intp, _VECTOR), generate


def _place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    wide = cgutils.unpack_tuple(builder, array.shape)[1]
    at = builder.add(builder.mul(arguments[1], wide), arguments[2])
    return builder.bitcast(builder.gep(array.data, [at]), _ROW.as_pointer())


def _fused(builder: Any, *given: Any) -> Any:  # noqa: ANN401
    kind = ir.FunctionType(_ROW, [_ROW] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{WIDTH}f32"), given)


def _bits(builder: Any, comparison: Any) -> Any:  # noqa: ANN401
    return builder.zext(builder.bitcast(comparison, ir.IntType(WIDTH)), ir.IntType(WORD))


def _where_positive(builder: Any, given: Any, positive: Any, other: Any) -> Any:  # noqa: ANN401
    return builder.select(builder.fcmp_ordered(">", given, _ZERO), positive, other)


def _magnitude(builder: Any, given: Any) -> Any:  # noqa: ANN401
    whole = ir.VectorType(ir.IntType(32), WIDTH)
    without_sign = builder.and_(builder.bitcast(given, whole), ir.Constant(whole, [2**31 - 1] * WIDTH))
    return builder.bitcast(without_sign, _ROW)


def _smaller(builder: Any, a: Any, b: Any) -> Any:  # noqa: ANN401
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


fused = _operation(3, _fused)
"""Call with (a, b, c): a b + c, rounded once."""
product = _operation(2, lambda builder, a, b: builder.fmul(a, b))
total = _operation(2, lambda builder, a, b: builder.fadd(a, b))
where_positive = _operation(3, _where_positive)
"""Call with (a, b, c): b where a > 0, else c."""
positive_part = _operation(1, lambda builder, a: _where_positive(builder, a, a, _ZERO))
magnitude = _operation(1, _magnitude)
smaller = _operation(2, _smaller)
"""Call with (a, b): the smaller, b where one is no number."""
negative_bits = _operation(
    1, lambda builder, a: _bits(builder, builder.fcmp_ordered("<", a, _ZERO)), result=types.uint64
)
"""Call with a vector: which lanes are below zero, as the lowest bits of a word."""
bits_below = _operation(2, lambda builder, a, b: _bits(builder, builder.fcmp_ordered("<", a, b)), result=types.uint64)
"""Call with (a, b): in which lanes a < b, as the lowest bits of a word."""
