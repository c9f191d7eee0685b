"""Define what an op is: one small frozen record per ATen op, by family. `rules/` fills the table.

The family says how the op behaves under scaling of its operands (Euler's degree); which
rule serves it is the preset's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from torch import Tensor
from torch.fx.node import Target

from ..graphs.schema import Arguments
from .by_name import find_entry, reference_to
from .call import Arriving, Call, Coefficients
from .claims import Claim, always
from .samples import Sample

Condition = Callable[[Arguments, frozenset[str]], bool]


class AtZero(Enum):
    """The result of an elementwise op where its live operands are zero."""

    ZERO = "zero, whatever its constants are"
    SUM = "zero if no constant is added"
    OTHER = "something else"


@dataclass(frozen=True, kw_only=True, eq=False)
class Op:
    """An ATen op that the method knows.

    `target` is the op, or its name (`library.op.overload`) if it belongs to another library.
    `operands` are the schema's argument names that can carry relevance. `templates` are those of
    which shape, dtype and device count and no entry. A live tensor in any other argument: the
    record does not serve that call. `selectors` are those that only choose among entries by number
    (indices); arguments of booleans need no declaration. `switches` are those operands of which
    booleans are no numbers but switch entries on and off.
    `when`, if given, restricts the record to calls for which `when(arguments, names of live
    operands)` holds; one target may have several records, the first that holds and declares all
    that is live is taken.
    `idle_if_same_layout`: a result of the operand's own shape and strides is the operand.
    `rowwise(arguments)`: whether a call acts on the last axis of its first operand alone, each row
    of the other axes by itself, and is no entrywise op.
    `never_negative(arguments, known)`: whether no entry of the result can be below zero, `known`
    telling which arguments have none (`lrp_engine/method/claims.py`).
    `regular(arguments, never_zero)`: whether value and slope are finite at every finite operand,
    however large; where that is not declared, c = 0 is passed on as 0 by an op of its own
    (`lrp_engine/method/zeros.py`). `bounded`: the result is finite even at infinite operands.
    `squashes`: the result is a probability, or its logarithm, and the operand a score.
    `positive(arguments, known)`: whether every entry of a result that is never negative is above
    zero; by default, whether the claim `never_negative` makes it so.
    `needs`: what `when` asks of a call, in words, for the error where no record serves it.

    Of a family: `moves_entries` says that entries change place and nothing is computed; `scales`,
    that the result is proportional to one live operand where no constant is added;
    `reads_operands`, that what is passed on depends on the operands' values; `axes` is the argument
    that holds the axes along which entries mix, if others do not. The fields in
    `names_arguments` hold argument names of the op's schema.
    """

    family: ClassVar[str] = ""
    moves_entries: ClassVar[bool] = False
    scales: ClassVar[bool] = False
    reads_operands: ClassVar[bool] = True
    axes: ClassVar[str | None] = None
    names_arguments: ClassVar[tuple[str, ...]] = (
        "operands",
        "templates",
        "selectors",
        "switches",
    )
    target: Target
    operands: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    selectors: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()
    when: Condition | None = None
    elementwise: bool = False
    at_zero: AtZero = AtZero.OTHER
    idle_if_same_layout: bool = False
    rowwise: Callable[[Arguments], bool] | None = None
    never_negative: Claim | None = None
    regular: Claim | None = None
    bounded: bool = False
    squashes: bool = False
    positive: Claim | None = None
    needs: str = ""

    def multiplied(self) -> tuple[str, ...]:
        """Return the arguments of which each scales the others' contribution to the result."""
        return ()

    def is_proportional(self, live: Sequence[str]) -> bool:
        """Return whether each entry of the result is a multiple of one of the live operand's."""
        return self.elementwise and self.at_zero is AtZero.ZERO and len(live) == 1

    def undeclared(self, live: Iterable[str]) -> frozenset[str]:
        """Return the live arguments through which the record does not say what passes.

        `live` holds names of arguments; `tensors[0]` is an entry of the list `tensors`.
        """
        names = frozenset(name.partition("[")[0] for name in live)
        return names.difference(self.operands, self.templates)

    def __reduce__(self) -> tuple[object, ...]:
        return find_entry, reference_to(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Inert(Op):
    """An op that returns its first operand: clone, detach, dropout in eval mode."""

    family: ClassVar[str] = "inert"
    reads_operands: ClassVar[bool] = False
    moves_entries: ClassVar[bool] = True
    idle_if_same_layout: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Move(Op):
    """An op whose entries change place, repeat or drop out; nothing is computed. Degree 1."""

    family: ClassVar[str] = "move"
    reads_operands: ClassVar[bool] = False
    moves_entries: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Linear(Op):
    """An op that is linear or affine in all live operands together. Degree 1.

    `adjoint(call, c)` replaces the traced adjoint where a better one is known.
    """

    family: ClassVar[str] = "linear"
    reads_operands: ClassVar[bool] = False
    scales: ClassVar[bool] = True
    adjoint: Callable[[Call[Linear], Arriving], Coefficients] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightedSum(Op):
    """A sum z = op(input, weight) + bias with a constant weight, as the classical rules treat.

    `adjoint(call, c, weight)` is the transposed op, written with forward ops.
    """

    family: ClassVar[str] = "weighted_sum"
    names_arguments: ClassVar[tuple[str, ...]] = (*Op.names_arguments, "input", "weight", "bias")
    input: str
    weight: str
    bias: str | None = None
    adjoint: Callable[[Call[WeightedSum], Tensor, Tensor], Tensor] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Product(Op):
    """A product of `factors`, linear in every other operand. Degree: the number of live factors."""

    family: ClassVar[str] = "product"
    scales: ClassVar[bool] = True
    names_arguments: ClassVar[tuple[str, ...]] = (*Op.names_arguments, "factors")
    regular: Claim | None = always
    factors: tuple[str, ...]

    def multiplied(self) -> tuple[str, ...]:
        """Return the factors."""
        return self.factors


@dataclass(frozen=True, kw_only=True, eq=False)
class Quotient(Op):
    """A quotient numerator / denominator, in which the denominator normalises."""

    family: ClassVar[str] = "quotient"
    scales: ClassVar[bool] = True
    names_arguments: ClassVar[tuple[str, ...]] = (*Op.names_arguments, "numerator", "denominator")
    numerator: str
    denominator: str

    def multiplied(self) -> tuple[str, ...]:
        """Return numerator and denominator."""
        return (self.numerator, self.denominator)

    def is_proportional(self, live: Sequence[str]) -> bool:
        """Return whether the numerator alone is live: a constant divides it."""
        return super().is_proportional(live) and self.numerator in live


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection(Op):
    """An op that picks among its operands' entries, or cuts them off. Degree 1 where none is cut.

    `inclusive`: cuts off at limits, and an entry that equals its limit was not cut. `slack` is how
    far an entry may be moved without being cut off: one step, where the entries are whole codes.
    `remainder`: gives what rounding to multiples of the second operand cuts off.
    """

    family: ClassVar[str] = "selection"
    regular: Claim | None = always
    exact: bool = True
    inclusive: bool = False
    slack: float = 0.0
    remainder: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Pointwise(Op):
    """A function f(x) entry by entry. `ratio(x, ...)` is f(x)/x in closed form, finite at 0.

    `passes(c, x, ...)` is c f(x)/x where that takes fewer passes over memory than the product.
    `slope(x, ...)` is f'(x), for the few whose derivative torch gives too roughly.
    `flat_at(x, ...)`: where f is finite and its slope infinite or undefined: it is taken for 0
    there. None if that is nowhere.
    """

    family: ClassVar[str] = "pointwise"
    elementwise: bool = True
    ratio: Callable[..., Tensor] | None = None
    passes: Callable[..., Tensor] | None = None
    slope: Callable[..., Tensor] | None = None
    flat_at: Callable[..., Tensor | None] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Homogeneous(Op):
    """A function with f(t x) = t^degree f(x) in all operands together: norms, variances.

    The degree may depend on the call (a product over n entries has degree n), and each of
    several results may have its own. `flat_at_zero`: where the result is 0 the slope is undefined,
    and torch's derivative says so; it is taken for 0.
    """

    family: ClassVar[str] = "homogeneous"
    axes: ClassVar[str | None] = "dim"
    regular: Claim | None = always
    degree: float | tuple[float, ...] | Callable[[Call[Homogeneous]], float | Tensor] = 1.0
    flat_at_zero: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Normaliser(Op):
    """An op that computes a scale to divide by: rsqrt, reciprocal."""

    family: ClassVar[str] = "normaliser"


@dataclass(frozen=True, kw_only=True, eq=False)
class Normalisation(Op):
    """A whole normalisation. `frozen(call, c)` is the adjoint with the scale held constant."""

    family: ClassVar[str] = "normalisation"
    names_arguments: ClassVar[tuple[str, ...]] = (*Op.names_arguments, "bias")
    frozen: Callable[[Call[Normalisation], Tensor], Tensor]
    bias: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Softmax(Op):
    """A softmax over rows, or its logarithm."""

    family: ClassVar[str] = "softmax"
    axes: ClassVar[str | None] = "dim"
    regular: Claim | None = always


@dataclass(frozen=True, kw_only=True, eq=False)
class Attention(Op):
    """Fused softmax(query key^T * scale + mask) value."""

    family: ClassVar[str] = "attention"
    bounded: bool = True

    def multiplied(self) -> tuple[str, ...]:
        """Return all operands: weights, which queries, keys and masks make, times values."""
        return self.operands


@dataclass(frozen=True, kw_only=True, eq=False)
class Recurrence(Op):
    """The recurrence h_t = decay_t h_(t-1) + inflow_t: a product and a sum at every step."""

    family: ClassVar[str] = "recurrence"

    def multiplied(self) -> tuple[str, ...]:
        """Return all operands: decays times states."""
        return self.operands


@dataclass(frozen=True, kw_only=True, eq=False)
class Lookup(Op):
    """A look-up of a table's rows by integer; its result is the source for those integers."""

    family: ClassVar[str] = "lookup"
    names_arguments: ClassVar[tuple[str, ...]] = (*Op.names_arguments, "table", "indices")
    table: str
    indices: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Rounding(Op):
    """An op that rounds entries, or cuts codes off at the ends of their range.

    `step(arguments, x)` is the distance between neighbouring results where an entry may be cut off:
    one that was moved by more was cut off, by less rounded. None: nothing is cut off.
    `with_range(*arguments)` gives the result and a mask of the entries that torch differentiates as
    the identity. None: its derivative is zero.
    """

    family: ClassVar[str] = "rounding"
    reason: ClassVar[str] = "rounding is a step function: its gradient is zero"
    elementwise: bool = True
    step: Callable[[Arguments, Tensor], Tensor | float] | None = None
    with_range: Callable[..., tuple[Tensor, Tensor]] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Stop(Op):
    """An op at which relevance ends, for the stated reason."""

    family: ClassVar[str] = "stop"
    reason: str
