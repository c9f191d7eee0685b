"""Check op records and rules when they are registered: argument names, and what they cite."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import RuleError, suggest
from ..graphs.schema import schema_of
from .op import Op
from .references import papers
from .rule import Rule

OWN = "own"  # what a rule cites that comes from no paper: "own", or "own: why it is right"


def validate(entry: Op | Rule) -> None:
    """Raise RuleError if a record misnames an argument, or a rule cites no known paper."""
    if isinstance(entry, Rule):
        validate_citation(entry)
    else:
        validate_record(entry)


def validate_record(op: Op) -> None:
    """Raise RuleError if a field of a record names no argument of the op's schema.

    A record declared by name is validated when its library has been loaded and it is bound.
    """
    schema = schema_of(op.target)
    if schema is None:
        return
    known = [argument.name for argument in schema.arguments]
    for field, name in _named_arguments(op):
        if name not in known:
            raise RuleError(
                f"the {op.family} record of {op.target} has {field} {name!r}, which is no argument"
                f" of {schema}{suggest(name, known)}"
            )


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


def _named_arguments(op: Op) -> Iterator[tuple[str, str]]:
    """Yield (field, argument name) for every argument that a record names."""
    for field in op.names_arguments:
        value = getattr(op, field)
        names = (value,) if isinstance(value, str) else value or ()
        yield from ((field, name) for name in names)
