"""Vectors: as many single-precision numbers as lanes or shares are taken at once, a value of compiled code like any
other number.

Numba's own loops are turned into vector instructions by the compiler, with checks and remainders around each; here a
value over 32 lanes stays in registers from one operation to the next.
"""  # noqa: D205

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from riskpipe.liquidation.footprint import SHARE, SHARES, WIDTH, WORD


class Vector(types.Type):
    """Type of a single-precision number in each of some lanes or shares."""

    def __init__(self, width: int) -> None:
        self.row = ir.VectorType(ir.FloatType(), width)
        super().__init__(name=f"float32 x {width}")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, of: Vector) -> None:  # noqa: ANN401  numba's own types, not values
        super().__init__(manager, of, of.row)


_BLOCK, _SHARE, _SHARES = Vector(WIDTH), Vector(SHARE), Vector(SHARES)


def _operation(n_vectors: int, build: Callable[..., Any], result: Any = None) -> Any:  # noqa: ANN401
    """Return an intrinsic of some vectors of one width; without a result of its own it gives another such vector."""

    def typed(kind: Any) -> Any:  # noqa: ANN401
        signature = (kind if result is None else result)(*[kind] * n_vectors)
        return signature, lambda _c, builder, _s, given: build(builder, *given)

    if n_vectors == 1:

        @intrinsic
        def of_one(_context: Any, a: Any) -> Any:  # noqa: ANN401
            return typed(a)

        return of_one
    if n_vectors == 2:

        @intrinsic
        def of_two(_context: Any, a: Any, _b: Any) -> Any:  # noqa: ANN401
            return typed(a)

        return of_two

    @intrinsic
    def of_three(_context: Any, a: Any, _b: Any, _c: Any) -> Any:  # noqa: ANN401
        return typed(a)

    return of_three


def _spread(kind: Vector) -> Any:  # noqa: ANN401
    @intrinsic
    def spread_number(_context: Any, _number: Any) -> Any:  # noqa: ANN401
        def generate(_c: Any, builder: Any, _s: Any, arguments: Any) -> Any:  # noqa: ANN401
            return _everywhere(builder, arguments[0], kind.row)

        return kind(types.float32), generate

    return spread_number


def _load(kind: Vector) -> Any:  # noqa: ANN401
    @intrinsic
    def load(_context: Any, rows: Any, _row: Any, _first: Any) -> Any:  # noqa: ANN401
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
            return builder.load(_place(context, builder, signature, arguments, kind.row), align=4)

        return kind(rows, types.intp, types.intp), generate

    return load


@intrinsic
def put_lanes(_context: Any, rows: Any, _row: Any, _first: Any, value: Any) -> Any:  # noqa: ANN401
    """Set rows[row, first : first + width] of a contiguous array in single precision to a vector."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        builder.store(arguments[3], _place(context, builder, signature, arguments, value.row), align=4)
        return context.get_dummy_value()

    return types.void(rows, types.intp, types.intp, value), generate


def _everywhere(builder: Any, number: Any, row: Any) -> Any:  # noqa: ANN401
    nothing = ir.Constant(row, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), row.count), [0] * row.count)
    )


def _place(context: Any, builder: Any, signature: Any, arguments: Any, row: Any) -> Any:  # noqa: ANN401
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    wide = cgutils.unpack_tuple(builder, array.shape)[1]
    at = builder.add(builder.mul(arguments[1], wide), arguments[2])
    return builder.bitcast(builder.gep(array.data, [at]), row.as_pointer())


def _zero(given: Any) -> Any:  # noqa: ANN401
    return ir.Constant(given.type, [0.0] * given.type.count)


def _fused(builder: Any, *given: Any) -> Any:  # noqa: ANN401
    row = given[0].type
    kind = ir.FunctionType(row, [row] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{row.count}f32"), given)


def _bits(builder: Any, comparison: Any) -> Any:  # noqa: ANN401
    return builder.zext(builder.bitcast(comparison, ir.IntType(comparison.type.count)), ir.IntType(WORD))


def _where_positive(builder: Any, given: Any, positive: Any, other: Any) -> Any:  # noqa: ANN401
    return builder.select(builder.fcmp_ordered(">", given, _zero(given)), positive, other)


def _magnitude(builder: Any, given: Any) -> Any:  # noqa: ANN401
    whole = ir.VectorType(ir.IntType(32), given.type.count)
    without_sign = builder.and_(builder.bitcast(given, whole), ir.Constant(whole, [2**31 - 1] * given.type.count))
    return builder.bitcast(without_sign, given.type)


def _smaller(builder: Any, a: Any, b: Any) -> Any:  # noqa: ANN401
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


@intrinsic
def where_in(_context: Any, _bits: Any, a: Any, _b: Any) -> Any:  # noqa: ANN401
    """Call with (bits, a, b): a in the lanes that the lowest bits of a word name, b in the others."""

    def generate(_c: Any, builder: Any, _s: Any, arguments: Any) -> Any:  # noqa: ANN401
        bits, inside, outside = arguments
        whole = ir.VectorType(ir.IntType(32), a.row.count)
        word = _everywhere(builder, builder.trunc(bits, ir.IntType(32)), whole)
        own = builder.and_(word, ir.Constant(whole, [1 << lane for lane in range(a.row.count)]))
        is_outside = builder.icmp_unsigned("==", own, ir.Constant(whole, [0] * a.row.count))
        return builder.select(is_outside, outside, inside)

    return a(types.uint64, a, a), generate


@intrinsic
def least_of(_context: Any, a: Any) -> Any:  # noqa: ANN401
    """Return the least number of a vector that has none which is no number."""

    def generate(_c: Any, builder: Any, _s: Any, arguments: Any) -> Any:  # noqa: ANN401
        kind, name = ir.FunctionType(ir.FloatType(), [a.row]), f"llvm.vector.reduce.fmin.v{a.row.count}f32"
        least = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(least, arguments, fastmath=("nnan", "nsz"))

    return types.float32(a), generate


spread, spread_share, spread_shares = _spread(_BLOCK), _spread(_SHARE), _spread(_SHARES)
"""Call with a number of single precision: a vector of it over the lanes of a block, of a share, or over shares."""
lanes_of, share_of, shares_of = _load(_BLOCK), _load(_SHARE), _load(_SHARES)
"""Call with (rows, row, first): rows[row, first : first + width] of a contiguous array in single precision."""
fused = _operation(3, _fused)
"""Call with (a, b, c): a b + c, rounded once."""
product = _operation(2, lambda builder, a, b: builder.fmul(a, b))
total = _operation(2, lambda builder, a, b: builder.fadd(a, b))
where_positive = _operation(3, _where_positive)
"""Call with (a, b, c): b where a > 0, else c."""
where_above = _operation(3, lambda builder, a, b, c: builder.select(builder.fcmp_ordered(">", a, b), a, c))
"""Call with (a, b, c): a where a > b, else c."""
positive_part = _operation(1, lambda builder, a: _where_positive(builder, a, a, _zero(a)))
magnitude = _operation(1, _magnitude)
smaller = _operation(2, _smaller)
"""Call with (a, b): the smaller, b where one is no number."""
negative_bits = _operation(
    1, lambda builder, a: _bits(builder, builder.fcmp_ordered("<", a, _zero(a))), result=types.uint64
)
"""Call with a vector: which lanes are below zero, as the lowest bits of a word."""
bits_below = _operation(2, lambda builder, a, b: _bits(builder, builder.fcmp_ordered("<", a, b)), result=types.uint64)
"""Call with (a, b): in which lanes a < b, as the lowest bits of a word."""
bits_at_most = _operation(2, lambda builder, a, b: _bits(builder, builder.fcmp_ordered("<=", a, b)), types.uint64)
"""Call with (a, b): in which lanes a <= b, as the lowest bits of a word."""
