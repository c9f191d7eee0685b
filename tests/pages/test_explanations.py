"""Explanations write their own pages: what is computed, what is read off, what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import lrp_engine as lrp
from lrp_engine.cli.app import app
from lrp_engine.errors import InputError

from .parsed import parse


@pytest.fixture(scope="module")
def engine() -> lrp.Engine:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    return lrp.Engine(net, torch.ones(1, 4), preset="epsilon")


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    return torch.linspace(-1, 1, 12).reshape(3, 4)


def test_a_page_is_the_same_after_saving(
    engine: lrp.Engine, inputs: Tensor, tmp_path: Path
) -> None:
    explained = engine.explain(inputs, [0, 1, 2], ledger=True).with_labels(
        class_names=["a", "b", "c"], feature_names=["i", "j", "k", "l"], truth=["b", "b", "b"]
    )
    first = explained.write_page(tmp_path / "first.html").read_bytes()
    explained.save(tmp_path / "saved.safetensors")
    done = CliRunner().invoke(
        app, ["report", str(tmp_path / "saved.safetensors"), "-o", str(tmp_path / "second.html")]
    )
    assert done.exit_code == 0, done.output
    assert (tmp_path / "second.html").read_bytes() == first
    parsed = parse(first.decode())
    assert "Bach et al. (2015)" in parsed.text
    assert "check() passes" in parsed.text
    assert len(parsed.find("section", class_="sample")) == 3


def test_the_ledger_is_computed_for_pages_and_not_for_notebooks(
    engine: lrp.Engine, inputs: Tensor
) -> None:
    explained = engine.explain(inputs, 0)
    assert "The ledger was not computed" not in explained._repr_html_()  # left to the full page
    assert "ledger" not in explained.__dict__  # nothing was computed to be shown
    assert "check() passes" in explained.to_html()


def test_what_can_no_longer_be_computed_is_said(engine: lrp.Engine) -> None:
    own = torch.ones(1, 4)
    explained = engine.explain(own, 0)
    own.mul_(2)
    text = parse(explained.to_html()).text
    assert "There is no ledger" in text
    assert "check() was not run" in text


def test_scores_are_shown_only_if_they_are_what_was_explained(inputs: Tensor) -> None:
    net = nn.Linear(4, 3).eval()
    explained = lrp.explain(net, inputs, 1)
    assert "softmax" in explained.to_html()
    two_runs = lrp.explain(net, inputs, 1, reference=0.0, preset="delta")
    assert "softmax" not in two_runs.to_html()


def test_a_page_has_the_ending_of_one(engine: lrp.Engine, inputs: Tensor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.html"):
        engine.explain(inputs, 0).write_page(tmp_path / "page.png")


def test_tokens_of_one_call_are_words(tmp_path: Path) -> None:
    torch.manual_seed(0)

    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(9, 4), nn.Linear(4, 2)

        def forward(self, ids: Tensor) -> Tensor:
            scores: Tensor = self.head(self.embedding(ids).mean(1))
            return scores

    explained = lrp.explain(Text().eval(), torch.tensor([[1, 2, 3]]), {0: 1.0, 1: -1.0})
    parsed = parse(explained.to_html(tokens=[["<b>", "wor", "##ld"]]))
    assert "world" in parsed.text
    assert 'why "class 0"' not in parsed.text
    assert "rather than" in parsed.text
    with pytest.raises(InputError, match="tokens per sample"):
        explained.to_html(tokens=[["one"]])
