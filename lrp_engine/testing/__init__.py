"""Check rules: `check_rule` runs a rule on sample calls and verifies what it claims."""

from .check_rule import check_rule as check_rule

__all__ = ["check_rule"]
