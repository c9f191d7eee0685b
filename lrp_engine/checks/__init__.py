"""Checks for CI: coverage, conservation and drift, each held to a budget.

>>> import torch, lrp_engine as lrp
>>> from lrp_engine import checks
>>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh()).eval()
>>> engine = lrp.Engine(model, torch.ones(1, 4))
>>> report = checks.check(engine, torch.ones(2, 4), target=0)
>>> report.ok, [finding.check for finding in report.findings][:3]
(True, ['coverage', 'inputs', 'finite'])
"""

from .budget import Budget
from .evidence import Given
from .finding import (
    Finding,
    Place,
    Report,
    Status,
)
from .golden import Golden
from .run_all import CHECKS, check
from .summary import monitor, summary

__all__ = [
    "CHECKS",
    "Budget",
    "Finding",
    "Given",
    "Golden",
    "Place",
    "Report",
    "Status",
    "check",
    "monitor",
    "summary",
]
