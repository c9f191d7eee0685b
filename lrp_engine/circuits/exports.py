"""Write circuits in other tools' formats: GraphML, DOT, and the JSON of EAP-IG and MIB."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from .circuit import Circuit
from .circuit_model import CircuitModel
from .edges import ReaderKind

_COLOURS = {"q": "#b0309a", "k": "#2f8f2f", "v": "#2f5fc0"}


def write_graphml(circuit: Circuit, path: str | Path) -> None:
    """Write the circuit as GraphML, with `score`, `kind` and `inputs` as attributes."""
    import networkx as nx  # slow to import

    nx.write_graphml(circuit.graph(), path)


def eap_json(circuit: Circuit, model: CircuitModel) -> dict[str, object]:
    """Return the JSON form of EAP-IG's `Graph`, which MIB takes as well.

    It holds `cfg`, `nodes`, and every possible edge with `in_graph` and its score.
    """
    edges, inside = circuit.edges, set(circuit.components())
    mean = edges.mean()
    heads = sum(r.reads is ReaderKind.QUERY and r.name.startswith("a0.") for r in edges.readers)
    blocks = model.structure.blocks
    names = [w.name for w in edges.writers] + ["logits"]
    return {
        "cfg": {
            "n_layers": model.structure.layers,
            "n_heads": heads,
            "parallel_attn_mlp": len({b.after for b in blocks}) < len(blocks),
            "d_model": int(blocks[0].skip.meta["val"].shape[-1]),
        },
        "nodes": {name: {"in_graph": name in inside} for name in names},
        "edges": {
            f"{edges.writers[u].name}->{edges.readers[d].name}": {
                "score": float(mean[u, d]),
                "in_graph": bool(circuit.keep[u, d]),
            }
            for u, d in torch.nonzero(edges.possible).tolist()
        },
    }


def write_eap_json(circuit: Circuit, model: CircuitModel, path: str | Path) -> None:
    """Write what `eap_json` returns to a file."""
    Path(path).write_text(json.dumps(eap_json(circuit, model)))


def dot(circuit: Circuit) -> str:
    """Return the circuit in Graphviz' DOT language.

    Edges are as wide as their scores; those into q, k and v have colours.
    """
    graph = circuit.graph()
    largest = max((abs(s) for *_, s in graph.edges.data("score")), default=1.0) or 1.0
    lines = ["digraph circuit {", "  rankdir=BT; node [shape=box, style=rounded];"]
    lines += [f'  "{name}" [tooltip="{data["score"]:+.3f}"];' for name, data in graph.nodes.items()]
    for a, b, data in graph.edges(data=True):
        width = 0.4 + 4 * abs(data["score"]) / largest
        style = "solid" if data["score"] >= 0 else "dashed"
        colour = _COLOURS.get(data["inputs"], "#404040")
        lines.append(
            f'  "{a}" -> "{b}" [penwidth={width:.2f}, style={style}, color="{colour}",'
            f' label="{data["inputs"]}", tooltip="{data["score"]:+.3f}"];'
        )
    return "\n".join([*lines, "}"]) + "\n"
