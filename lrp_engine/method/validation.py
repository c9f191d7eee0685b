"""Check op records and rules when they are registered: against the schema and the bibliography."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import NoReturn

from torch._ops import OpOverload

from ..errors import RuleError, suggest
from ..graphs.schema import declared_arguments, schema_of
from .op import Op
from .references import OWN, papers
from .rule import Form, Rule
from .signatures import accepts, functions_of


def validate(entry: Op | Rule) -> None:
    """Raise RuleError if a record does not fit its op's schema, or a rule cannot be called.

    What an op or a rule computes is for `lrp_engine.testing.check_rule` to verify.
    """
    if isinstance(entry, Rule):
        validate_signature(entry)
        validate_citation(entry)
    else:
        validate_record(entry)


def validate_record(op: Op) -> None:
    """Raise RuleError if a record does not fit the schema of its op.

    The op is an overload that changes none of its operands, every field that names an argument
    names a tensor of the schema, some operand can carry relevance, the samples can be bound, and
    the record's functions take what they are given. A record declared by name is validated when its
    library has been loaded and it is bound.
    """
    _validate_target(op)
    schema = schema_of(op.target)
    if schema is None:
        return
    known = {argument.name: str(argument.type) for argument in schema.arguments}
    for field, name in _named_arguments(op):
        if name not in known:
            _refuse(op, f"has {field} {name!r}, which is no argument of {schema}", name, known)
        if "Tensor" not in known[name]:
            _refuse(op, f"has {field} {name!r}, which is no tensor in {schema}")
    if not op.operands:
        tensors = ", ".join(repr(name) for name, kind in known.items() if "Tensor" in kind)
        _refuse(op, f"names no operand, so it would serve no call; operands may be {tensors}")
    _validate_samples(op)
    for field, positional, named in functions_of(op, known):
        if not accepts(getattr(op, field), positional, named):
            also = f" and, by name, {', '.join(named)}" if named else ""
            _refuse(op, f"has {field!r}, which cannot be called with {positional} arguments{also}")


def validate_carried(rule: Rule, op: Op) -> None:
    """Raise RuleError if a rule passes relevance through what is no operand of an op it serves."""
    if rule.carries is None or (rule.serves is not None and not rule.serves(op)):
        return
    for name in rule.carries(op):
        if name not in op.operands:
            raise RuleError(
                f"rule {rule.name!r} of family {rule.family!r} carries {name!r}, which is no"
                f" operand of {op.target}{suggest(name, op.operands)}"
            )


def _refuse(op: Op, what: str, name: str = "", known: Iterable[str] = ()) -> NoReturn:
    ending = suggest(name, known) if name else ""
    raise RuleError(f"the {op.family} record of {op.target} {what}{ending}")


def _validate_target(op: Op) -> None:
    if not op.family:
        raise RuleError(
            f"the record of {op.target} is a plain {type(op).__name__} without a family: use one of"
            " the classes in lrp_engine.method.op, such as Linear or Pointwise"
        )
    named = isinstance(op.target, str) and op.target.count(".") == 2
    if not named and not isinstance(op.target, OpOverload):
        _refuse(op, "needs one overload as its target, such as torch.ops.aten.add.Tensor")
    schema = schema_of(op.target)
    if schema is not None and schema.is_mutable:
        _refuse(op, "is for an op that writes into its operands; captured graphs have none: use its"
                " functional form")  # fmt: skip


def _validate_samples(op: Op) -> None:
    arguments = declared_arguments(op.target)
    names = [a.name for a in arguments]
    free = [a.name for a in arguments if not a.kwarg_only]
    needed = {a.name for a in arguments if not a.has_default_value()}
    for i, sample in enumerate(op.samples):
        given = {*free[: len(sample.args)], *sample.kwargs}
        lost = sorted(needed - given)
        strange = sorted(given.difference(names))
        if len(sample.args) > len(free) or lost or strange:
            what = f"lacks {', '.join(lost)}" if lost else "gives more than the schema has"
            _refuse(op, f"has a sample, number {i}, that {what}: {schema_of(op.target)}")


def validate_citation(rule: Rule) -> None:
    """Raise RuleError unless a rule cites a key of `references.bib`, or says that it is its own.

    `cites` is "key", "key, eq. 5", "own", or "own: where it comes from".
    """
    key = re.split("[,:]", rule.cites, maxsplit=1)[0].strip()
    if key != OWN and key not in papers():
        raise RuleError(
            f"rule {rule.name!r} of family {rule.family!r} cites {rule.cites!r}, but {key!r} is no"
            f" key of rules/references.bib{suggest(key, papers(), listed=False)}; a rule that comes"
            f' from no paper listed there cites "{OWN}: ..."'
        )


def validate_signature(rule: Rule) -> None:
    """Raise RuleError if a rule or its `absorbs` cannot be called as the engine calls them."""
    where = f"rule {rule.name!r} of family {rule.family!r}"
    if not rule.family:
        raise RuleError(f"rule {rule.name!r} names Op as its family: name the family it serves")
    if not accepts(rule.propagate, 2, rule.parameters):
        raise RuleError(
            f"{where} must take (call, c), and its parameters by name, not"
            f" {inspect.signature(rule.propagate)}"
        )
    if callable(rule.absorbs) and not accepts(rule.absorbs, 3, rule.parameters):
        raise RuleError(
            f"{where}: its absorbs must take (call, c, passed) and the rule's parameters"
            f" ({', '.join(rule.parameters) or 'none'}), not {inspect.signature(rule.absorbs)}"
        )
    for field, form in (("takes", rule.takes), ("gives", rule.gives)):
        if not isinstance(form, Form):
            raise RuleError(f"{where}: {field} is {form!r}, which is no Form")


def _named_arguments(op: Op) -> Iterator[tuple[str, str]]:
    """Yield (field, argument name) for every argument that a record names."""
    for field in op.names_arguments:
        value = getattr(op, field)
        names = (value,) if isinstance(value, str) else value or ()
        yield from ((field, name) for name in names)
