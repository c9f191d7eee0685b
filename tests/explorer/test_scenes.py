"""The explorer's numbers are those of an Engine, and traces add up."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lrp_engine import Engine
from lrp_engine.errors import InputError
from lrp_engine.views import explore, scene_of
from lrp_engine.views.layouts import Layout, Reading

from .small import image_exploration, small_text, text_exploration, text_scene


def _layer(exploration, name):
    """Return a layer, and the slice of its nodes."""
    at = 0
    for layer in exploration._layers():
        if layer.name == name:
            return layer, slice(at, at + layer.nodes)
        at += layer.nodes
    raise KeyError(name)


def test_layers_of_a_transformer() -> None:
    names = [layer.name for layer in text_scene().layers]
    assert names == ["ids", "attention 0", "mlp 0", "layer 0"]
    heads = text_scene().layers[1]
    assert (heads.rows, heads.columns, heads.units, heads.unit) == (1, 5, 2, "head")
    assert text_scene().layers[-1].reads == (0, 1, 2)  # what was there, attention, MLP


def test_sums_are_those_of_the_engine() -> None:
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    exploration = text_exploration()
    target = exploration.targets[0].target
    engine = Engine(small_text(), ids, preset="attnlrp")
    alone = engine.explain(ids, target, position=-1)
    _, tokens = _layer(exploration, "ids")
    found = exploration.relevance[0]
    torch.testing.assert_close(found[tokens], alone.per_token("ids")[0])
    _, stream = _layer(exploration, "layer 0")
    assert found[stream][:-1].abs().max() == 0  # only the last position reaches the logits there
    ledger = text_scene().targets[0].ledger
    assert ledger is not None
    assert ledger.balances
    assert ledger.explained == pytest.approx(float(alone.explained[0]))


def test_traces_through_a_layer_sum_to_the_whole() -> None:
    """All relevance passes through the stream: towards the input, traces of its tokens add up."""
    exploration = text_exploration()
    _, stream = _layer(exploration, "layer 0")
    traces = exploration.trace(0, list(range(stream.start, stream.stop)))
    upto = slice(0, stream.stop)
    torch.testing.assert_close(traces.amounts.sum(0)[upto], exploration.relevance[0][upto])


def test_where_it_came_from_is_where_it_went_seen_from_the_other_end() -> None:
    exploration = text_exploration()
    every = list(range(exploration.nodes.count))
    amounts = exploration.trace(0, every).amounts
    torch.testing.assert_close(amounts, amounts.T)
    torch.testing.assert_close(amounts.diagonal(), exploration.relevance[0])


def test_contrasts_are_differences() -> None:
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    exploration = text_exploration()
    one, other = (t.target for t in exploration.targets[:2])
    contrast = explore(exploration.engine, ids, [{one: 1.0, other: -1.0}])
    torch.testing.assert_close(
        contrast.relevance[0], exploration.relevance[0] - exploration.relevance[1]
    )
    first = [exploration.trace(i, [3]).amounts for i in (0, 1)]
    torch.testing.assert_close(contrast.trace(0, [3]).amounts, first[0] - first[1])


def test_channels_and_cells_of_maps() -> None:
    exploration = image_exploration()
    names = [layer.name for layer in exploration._layers()]
    assert names[0] == "input"
    assert "module 0" not in names  # relevance is the same behind its activation
    layer, nodes = _layer(exploration, "module 1")
    found = exploration.relevance[0][nodes]
    assert (layer.rows, layer.columns, layer.units) == (6, 6, 3)
    assert float(found[:36].sum()) == pytest.approx(float(found[36:].sum()))
    traces = exploration.trace(1, list(range(nodes.start + 36, nodes.stop)))
    torch.testing.assert_close(traces.amounts.sum(0)[:36], exploration.relevance[1][:36])


def test_large_maps_are_summed_over_squares() -> None:
    values = torch.randn(3, 120, 70)
    reading = Reading.of(Layout.MAP, values)
    assert (reading.rows, reading.columns, reading.pooled) == (40, 35, (3, 2))
    amounts = reading.amounts(values)
    assert float(amounts[:1400].sum()) == pytest.approx(float(values.double().sum()))
    for node in (0, 1399, 1402):
        mask = reading.mask(values, node)
        assert float((values.double() * mask).sum()) == pytest.approx(float(amounts[node]))


def test_what_cannot_be_traced_is_said() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)).eval()
    x = torch.ones(1, 3)
    exploration = explore(Engine(net, x, preset="epsilon"), x)
    with pytest.raises(InputError, match="no target 7"):
        exploration.trace(7, [0])
    saved = exploration.engine.with_sources(None).explain(x, 0)
    scene = scene_of(saved)
    assert "holds no model" in scene.untraced
    assert [layer.name for layer in scene.layers] == ["input"]
    with pytest.raises(InputError, match="no sample 3"):
        scene_of(saved, sample=3)


def test_presets_that_bend_or_compare_are_not_traced() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)).eval()
    x = torch.ones(1, 3)
    engine = Engine(net, x, preset="delta", sources=["input", "1"])
    with pytest.raises(InputError, match="compares two runs"):
        engine.trace(x)
