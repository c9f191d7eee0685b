"""Proving rules: `check_rule` runs a rule over sample calls and holds it to what it claims."""

from .check_rule import check_rule as check_rule

__all__ = ["check_rule"]
