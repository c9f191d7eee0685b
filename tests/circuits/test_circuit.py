"""Circuits: what is kept, what ablation measures, what is written and drawn."""

import json
from pathlib import Path

import networkx as nx
import pytest
import torch
from torch import nn

from lrp_engine import circuits
from lrp_engine.circuits import CircuitModel, EdgeScores, Pairs
from lrp_engine.circuits.ablation import prepare_ablation
from lrp_engine.circuits.circuit import Circuit, drop_disconnected, whole_circuit
from lrp_engine.circuits.drawing.figure import save_figure
from lrp_engine.demo.ioi import words_of
from lrp_engine.errors import InputError


@pytest.fixture(scope="module")
def edges(model: CircuitModel, pairs: Pairs) -> EdgeScores:
    return circuits.edge_scores(model, pairs)


def test_all_edges_are_the_model_and_none_the_ablated_run(
    model: CircuitModel, pairs: Pairs, edges: EdgeScores
) -> None:
    ready = prepare_ablation(model, pairs)
    nothing = Circuit(edges, torch.zeros_like(edges.possible))
    torch.testing.assert_close(ready.run(whole_circuit(edges)), edges.clean)
    torch.testing.assert_close(ready.run(nothing), edges.corrupt)
    mean = prepare_ablation(model, pairs, "mean")
    torch.testing.assert_close(mean.run(whole_circuit(edges)), edges.clean)


def test_cutting_one_edge_changes_one_input(
    model: CircuitModel, hf_model: nn.Module, pairs: Pairs, edges: EdgeScores
) -> None:
    """m1 -> m3 with the corrupt result of m1, by hooks on the model itself."""
    keep = edges.possible.clone()
    writers, readers = [w.name for w in edges.writers], [r.name for r in edges.readers]
    keep[writers.index("m1"), readers.index("m3")] = False
    found = prepare_ablation(model, pairs).run(Circuit(edges, keep))
    outs: list[torch.Tensor] = []
    mlp, norm = (hf_model.get_submodule(f"transformer.h.{p}") for p in ("1.mlp", "3.ln_2"))
    with torch.no_grad():
        with mlp.register_forward_hook(lambda m, a, out: outs.append(out)):
            hf_model(**pairs.clean), hf_model(**pairs.corrupt)
        change = outs[1] - outs[0]
        with norm.register_forward_pre_hook(lambda m, args: (args[0] + change,)):
            expected = pairs.metric(hf_model(**pairs.clean).logits)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_cutting_one_query_edge_changes_one_head(
    model: CircuitModel, hf_model: nn.Module, pairs: Pairs, edges: EdgeScores
) -> None:
    """m2 -> a3.h1<q>: only head 1's columns of the query see the corrupt m2."""
    keep = edges.possible.clone()
    writers, readers = [w.name for w in edges.writers], [r.name for r in edges.readers]
    keep[writers.index("m2"), readers.index("a3.h1<q>")] = False
    found = prepare_ablation(model, pairs).run(Circuit(edges, keep))
    block = hf_model.get_submodule("transformer.h.3")
    outs: list[torch.Tensor] = []
    stream: list[torch.Tensor] = []
    with torch.no_grad():
        mlp = hf_model.get_submodule("transformer.h.2.mlp")
        with mlp.register_forward_hook(lambda m, a, out: outs.append(out)):
            hf_model(**pairs.clean), hf_model(**pairs.corrupt)
        with block.ln_1.register_forward_pre_hook(lambda m, args: stream.append(args[0])):
            hf_model(**pairs.clean)
        other = block.attn.c_attn(block.ln_1(stream[0] + outs[1] - outs[0]))

        def swap(m: nn.Module, args: tuple, out: torch.Tensor) -> torch.Tensor:
            out = out.clone()
            out[..., 24:48] = other[..., 24:48]
            return out

        with block.attn.c_attn.register_forward_hook(swap):
            expected = pairs.metric(hf_model(**pairs.clean).logits)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_every_edge_kept_lies_on_a_path(edges: EdgeScores) -> None:
    for circuit in (
        circuits.top_edges(edges, 40),
        circuits.greedy(edges, 40),
        circuits.by_threshold(edges, 1.0),
    ):
        graph = circuit.graph()
        assert 0 < len(circuit) <= 60
        assert nx.is_directed_acyclic_graph(graph)
        for name in graph:
            assert name == "input" or nx.has_path(graph, "input", name)
            assert name == "logits" or nx.has_path(graph, name, "logits")
        total = sum(score for *_, score in graph.edges.data("score"))
        assert total == pytest.approx(float(edges.mean()[circuit.keep].sum()))
    alone = torch.zeros_like(edges.possible)
    alone[3, 20] = True
    assert len(drop_disconnected(edges, alone)) == 0
    with pytest.raises(InputError, match="479 edges"):
        circuits.top_edges(edges, 480)


def test_more_edges_are_more_faithful(model: CircuitModel, pairs: Pairs, edges: EdgeScores) -> None:
    curve = circuits.curve(model, pairs, edges, sizes=(0.0, 0.05, 0.2, 1.0))
    assert curve.faithfulness[0] == pytest.approx(0)
    assert curve.faithfulness[-1] == pytest.approx(1)
    assert curve.faithfulness[2] > 0.8
    f = curve.faithfulness
    widths = (0.05, 0.15, 0.8)
    area = sum(w * (f[i] + f[i + 1]) / 2 for i, w in enumerate(widths))
    assert curve.cpr == pytest.approx(area)
    gap = sum(w * (abs(1 - f[i]) + abs(1 - f[i + 1])) / 2 for i, w in enumerate(widths))
    assert curve.cmd == pytest.approx(gap)


def test_quality_and_overlap(model: CircuitModel, pairs: Pairs, edges: EdgeScores) -> None:
    circuit = circuits.top_edges(edges, 60)
    quality = circuits.quality(model, pairs, circuit)
    assert quality.faithfulness > 0.9
    assert quality.completeness > 0.9
    assert quality.minimality["a1.h3"] > 0.5
    same = circuits.overlap(circuit, circuit)
    assert (same.edges, same.components, same.only_first) == (1, 1, ())
    other = circuits.overlap(circuit, circuits.top_edges(edges, 30))
    assert 0.3 < other.edges < 0.6
    assert set(other.shared) | set(other.only_first) == set(circuit.names())


def test_exports(model: CircuitModel, edges: EdgeScores, tmp_path: Path) -> None:
    circuit = circuits.top_edges(edges, 40)
    circuits.write_graphml(circuit, tmp_path / "c.graphml")
    again = nx.read_graphml(tmp_path / "c.graphml")
    assert set(again.edges) == set(circuit.graph().edges)
    circuits.write_eap_json(circuit, model, tmp_path / "c.json")
    data = json.loads((tmp_path / "c.json").read_text())
    assert data["cfg"] == {"n_layers": 4, "n_heads": 4, "parallel_attn_mlp": False, "d_model": 96}
    inside = {name for name, edge in data["edges"].items() if edge["in_graph"]}
    assert inside == set(circuit.names())
    assert len(data["edges"]) == len(edges)
    assert "a1.h3->a3.h1<q>" in data["edges"]
    assert data["nodes"]["logits"] == {"in_graph": True}
    text = circuits.dot(circuit)
    assert text.startswith("digraph")
    assert text.count("->") == circuit.graph().number_of_edges()


def test_pictures_and_page(edges: EdgeScores, pairs: Pairs, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    circuit = circuits.top_edges(edges, 40)
    tokens = words_of(pairs.clean["input_ids"][0])
    drawing = circuits.arrange(circuit, tokens=tokens, title="<script>")
    scored = [line for line in drawing.lines if line.input != "moves"]
    whole_sum = float((edges.by_position * circuit.keep).sum())
    assert sum(line.score for line in scored) == pytest.approx(whole_sum)
    for line in drawing.lines:
        a, b = drawing.places[line.source], drawing.places[line.target]
        assert (a.name == b.name) == (line.input == "moves")
        assert a.row < b.row or line.input == "moves"
    save_figure(drawing, tmp_path / "c.png")
    save_figure(drawing, tmp_path / "c.svg")
    assert (tmp_path / "c.png").stat().st_size > 10_000
    page = circuits.page(drawing, notes=("trust & check",))
    assert "trust &amp; check" in page
    assert "<title>&lt;script&gt;</title>" in page
    assert "default-src 'none'" in page  # the browser itself refuses to fetch anything


def test_by_position_sums_to_the_mean(edges: EdgeScores) -> None:
    torch.testing.assert_close(edges.by_position.sum(0), edges.mean())
