"""Ledgers, plans and engines as tables of rich."""

from __future__ import annotations

import io

import pytest
import torch
from rich.console import Console

import lrp_engine as lrp

X = torch.ones(1, 4)


@pytest.mark.parametrize("name", ["engine", "plan", "ledger"])
def test_what_shows_itself_is_a_table_of_rich(name: str) -> None:
    engine = lrp.Engine(torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.ReLU()).eval(), X)
    shown = {"engine": engine, "plan": engine.plan, "ledger": engine.explain(X, 1).ledger}[name]
    said = io.StringIO()
    console = Console(file=said, width=100)
    console.print(shown)
    console.print(shown.rich_table())
    first, second = said.getvalue()[: len(said.getvalue()) // 2], said.getvalue()[-10:]
    assert said.getvalue().count(shown.overview().title[:20]) == 2
    assert first.endswith(second)
