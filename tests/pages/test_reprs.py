"""Texts and notebook tables are short, hold no tensors, and escape what users wrote."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lrp_engine as lrp
from lrp_engine.circuits.circuit import top_edges
from lrp_engine.circuits.edges import EdgeScores, ReaderInput, ReaderKind, Writer
from lrp_engine.circuits.features import FeatureScores
from lrp_engine.circuits.scores import Direction, Scores
from lrp_engine.markup import Overview, Shown
from lrp_engine.markup.cells import width_of
from lrp_engine.show.page import write_lines

from . import samples
from .parsed import parse


@pytest.fixture(scope="module")
def shown() -> dict[str, object]:
    torch.manual_seed(0)
    net = nn.Sequential(*(layer for _ in range(15) for layer in (nn.Linear(4, 4), nn.Tanh())))
    engine = lrp.Engine(net.eval(), torch.ones(1, 4))
    explained = engine.explain(torch.ones(3, 4), 0, ledger=True)
    edges = _edges()
    return {
        "engine": engine,
        "plan": engine.plan,
        "forward": engine.forward(torch.ones(3, 4)),
        "explanation": explained,
        "ledger": explained.ledger,
        "edges": edges,
        "circuit": top_edges(edges, 3),
        "features": _features(),
    }


def _edges() -> EdgeScores:
    writers = (Writer("input", -1), Writer("a0.h0", 0, 0), Writer("m0", 1))
    kinds = [("m0<mlp>", 1, ReaderKind.MLP), ("logits", 2, ReaderKind.OUTPUT)]
    readers = tuple(ReaderInput(name, order, kind) for name, order, kind in kinds)
    values = samples.pattern(2, 3, 2)
    possible = torch.tensor([[w.order < r.order for r in readers] for w in writers])
    metric = torch.ones(2)
    by_position = values.mean(0, keepdim=True)
    return EdgeScores(
        "relp", Direction.DENOISE, writers, readers, values, by_position, possible, metric, metric
    )


def _features() -> FeatureScores:
    values = {"blocks.0": samples.pattern(2, 3, 40)}
    errors = {"blocks.0": samples.pattern(2, 3)}
    return FeatureScores("relp", Direction.NOISE, values, errors, torch.ones(2), torch.ones(2))


NAMES = ["engine", "plan", "forward", "explanation", "ledger", "edges", "circuit", "features"]


@pytest.mark.parametrize("name", NAMES)
def test_a_text_has_at_most_ten_lines_and_no_tensor(shown: dict[str, object], name: str) -> None:
    text = repr(shown[name])
    assert 2 <= len(text.splitlines()) <= 10
    assert "tensor(" not in text
    assert "object at" not in text


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_get_text_and_html(shown: dict[str, object], name: str) -> None:
    bundle = shown[name]._repr_mimebundle_()  # type: ignore[attr-defined]
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"] == repr(shown[name])
    parsed = parse(bundle["text/html"])
    assert not parsed.find("script")
    assert len(bundle["text/html"]) < 300_000
    assert "tensor(" not in parsed.text


def test_a_table_has_twenty_rows_and_says_how_many_more(shown: dict[str, object]) -> None:
    html = parse(shown["engine"]._repr_html_())  # type: ignore[attr-defined]
    assert "… 10 more" in html.text  # 30 weights


def test_a_text_of_bars_needs_no_colours() -> None:
    lines = write_lines(samples.words()).splitlines()
    assert lines[0] == 'why "yes"? logit 2.00'
    assert any("█" in line for line in lines)
    assert any("▒" in line and "−" in line for line in lines)
    assert any("absorbed: bias" in line and "/" in line for line in lines)
    assert len(lines) <= 10


def test_text_of_users_steers_no_terminal_and_writes_no_tag() -> None:
    overview = Overview(
        "title \x1b[31m", facts=[("name", "<b>")], head=("a", "b#"), rows=[("日" * 60, "1")]
    )
    assert "\x1b" not in overview.text()
    assert max(map(width_of, overview.text().splitlines())) <= 80
    assert "<bdi>&lt;b&gt;</bdi>" in overview.html()


class _Own(Shown):
    def overview(self) -> Overview:
        return Overview("own", head=("n#",), rows=[(str(i),) for i in range(30)], left_out=5)


def test_a_cut_table_counts_all_that_is_missing() -> None:
    assert repr(_Own()).splitlines()[-1] == "  … 27 more"
    assert "… 5 more" in _Own()._repr_html_()


def test_scores_name_their_components() -> None:
    scores = Scores("relp", Direction.DENOISE, (), {}, torch.ones(1), torch.zeros(1))
    assert "scores of 0 components by relp" in repr(scores)
