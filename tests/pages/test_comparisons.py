"""Pages that show explanations of the same samples side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import lrp_engine as lrp
from lrp_engine.errors import InputError

X = torch.tensor([[1.0, -2.0, 0.5, 3.0], [0.0, 1.0, 1.0, -1.0]])


def engine() -> lrp.Engine:
    torch.manual_seed(0)
    return lrp.Engine(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()).eval(), X)


def test_presets_stand_side_by_side_with_how_far_they_agree(tmp_path: Path) -> None:
    made = engine()
    both = [made.with_preset(p).explain(X, 1, ledger=True) for p in ("epsilon", "gamma")]
    page = lrp.write_comparison(tmp_path / "both.html", both).read_text()
    assert page.count('class="beside"') == len(X)
    assert page.count("epsilon: ") == len(X)
    assert "correlation of relevance" in page
    assert page == lrp.write_comparison(tmp_path / "again.html", both).read_text()


def words(*texts: str) -> Any:
    ids = torch.arange(4)[None]
    torch.manual_seed(0)
    layers = torch.nn.Embedding(4, 2), torch.nn.Flatten(), torch.nn.Linear(8, 2)
    found = lrp.explain(torch.nn.Sequential(*layers).eval(), ids, 1)
    return found.with_labels(words=[texts])


def test_what_is_not_of_the_same_data_is_refused(tmp_path: Path) -> None:
    made = engine()
    two, one = made.explain(X, 1), made.explain(X[:1], 1)
    narrow = lrp.explain(torch.nn.Linear(3, 2).eval(), X[:1, :3], 1)
    for given, said in [
        ([two], "needs two explanations"),
        ([two, two], "have one preset"),
        ({"a": two, "b": one}, "different numbers of samples"),
        ({"a": one, "b": narrow}, r"shapes \(4,\) \(a\), \(3,\) \(b\)"),
        ({"a": words(*"abcd"), "b": words(*"abxd")}, "as different tokens"),
    ]:
        with pytest.raises(InputError, match=said):
            lrp.write_comparison(tmp_path / "x.html", given)
