"""Feature circuits by several estimators, verified by ablation, on a model of examples/.

    python examples/train_feature_circuit.py --output FOLDER
    python -m benchmarks.feature_circuits FOLDER [--count 32] [--json out.json]

Per kind of phrase: how feature scores agree with patching each feature exactly, how edge scores
agree with cutting each edge alone, and faithfulness and completeness over the number of nodes and
of edges that are kept, on prompts that were not scored. `ig` is integrated gradients as in Marks et
al. 2024 (arXiv 2403.19647): at each site along the straight line between its two activations.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from examples.train_feature_circuit import KINDS, agreement_pairs, load_subject
from lrp_engine.circuits import (
    CircuitModel,
    Feature,
    FeatureScores,
    Pairs,
    Splice,
    feature_curve,
    feature_edge_curve,
    feature_edges,
    patch_features,
    score_features,
)
from lrp_engine.circuits.agreement import measure_agreement
from lrp_engine.circuits.feature_edge_ablation import prepare_feature_ablation
from lrp_engine.circuits.feature_edge_scores import FeatureEdges
from lrp_engine.circuits.features import nodes_of, place_all
from lrp_engine.circuits.patching import program_behind
from lrp_engine.circuits.run_pair import run_both
from lrp_engine.circuits.scores import Direction

ESTIMATORS = ("gradient", "eap_ig", "relp", "delta", "delta_plus")
NODES = (1, 2, 4, 8, 16, 32, 64)
EDGES = (4, 8, 16, 32, 64, 128, 256)
_STEPS, _SAMPLE = 10, 60


def integrated(model: CircuitModel, pairs: Pairs, splices: Sequence[Splice]) -> FeatureScores:
    """Integrated gradients at every site by itself, by plain autograd, ten points."""
    placed = place_all(model, splices)
    runs = run_both(model, pairs, nodes_of(placed), Direction.NOISE)
    features, errors = {}, {}
    for p in placed:
        rest = program_behind(model, p.site)
        _, boundary = model.activations(rest.boundary, runs.base)
        base, other = (v[p.site.node] for v in (runs.base_values, runs.other_values))
        c = torch.zeros_like(base)
        for step in range(_STEPS):
            x = torch.lerp(base, other, (step + 0.5) / _STEPS).requires_grad_()
            (output,) = rest.program(*runs.base, *boundary, x)
            c += torch.autograd.grad(pairs.metric(output).sum(), x)[0] / _STEPS
        change, lost = p.changes(runs)
        features[p.site.name] = p.pull_back(c, change.shape[-1]) * change
        errors[p.site.name] = (c * lost).sum(-1)
    clean, corrupt = runs.metrics(pairs)
    return FeatureScores("ig", Direction.NOISE, features, errors, clean, corrupt)


def patched(model: CircuitModel, pairs: Pairs, splices: Sequence[Splice]) -> FeatureScores:
    """Every feature and error that differs between the runs, patched exactly, all positions."""
    like = score_features(model, pairs, splices, estimator="gradient", direction="noise")
    features, errors = {}, {}
    for splice in splices:
        (p,) = place_all(model, [splice])
        runs = run_both(model, pairs, nodes_of([p]), Direction.NOISE)
        moved = p.changes(runs)[0].abs().sum((0, 1)).nonzero()[:, 0].tolist()
        found = patch_features(model, pairs, splice, [*moved, None], direction="noise")
        # One score per prompt, at the first position: it is that of all positions together.
        features[splice.at] = torch.zeros_like(like.features[splice.at])
        for i in moved:
            features[splice.at][:, 0, i] = found[i]
        errors[splice.at] = torch.zeros_like(like.errors[splice.at])
        errors[splice.at][:, 0] = found[None]
    return replace(like, estimator="exact patching", features=features, errors=errors)


def flat(scores: FeatureScores, like: FeatureScores) -> Tensor:
    """Scores of all features that `like` has, and of errors, (component, prompt)."""
    rows = []
    for site, values in scores.features.items():
        known = like.features[site].abs().sum((0, 1)) > 0
        rows += [values.sum(1)[:, known].T, scores.errors[site].sum(1)[None]]
    return torch.cat(rows)


def cut_alone(
    model: CircuitModel, pairs: Pairs, splices: Sequence[Splice], edges: FeatureEdges
) -> tuple[Tensor, Tensor]:
    """Scores of a sample of edges, and what the metric loses without each, (edge, prompt)."""
    nodes = [Feature(w.site, w.index) for w in edges.writers if w.index is not None]
    ablator = prepare_feature_ablation(model, pairs, splices, nodes)
    whole = ablator.run(edges.possible)
    strong = edges.keep_top(4 * _SAMPLE).nonzero()
    drawn = torch.randperm(len(strong), generator=torch.Generator().manual_seed(0))[:_SAMPLE]
    found = []
    for u, d in strong[drawn].tolist():
        keep = edges.possible.clone()
        keep[u, d] = False
        found.append((edges.values[:, u, d], whole - ablator.run(keep)))
    scores, effects = zip(*found, strict=True)
    return torch.stack(scores), torch.stack(effects)


def measure(model: CircuitModel, kind: str, splices: Sequence[Splice], count: int) -> dict:
    """Everything about one kind of phrase."""
    pairs, held_out = (agreement_pairs(kind, count, seed) for seed in (1, 2))
    exact = patched(model, pairs, splices)
    several = {
        e: score_features(model, pairs, splices, estimator=e, direction="noise") for e in ESTIMATORS
    }
    several |= {"ig": integrated(model, pairs, splices), "exact patching": exact}
    nodes = [f for f, _ in exact.top(60) if f.index is not None]
    rows = {}
    for name, scores in several.items():
        found = feature_curve(model, held_out, splices, scores, NODES)
        mean = feature_curve(model, held_out, splices, scores, NODES, ablation="mean")
        agreement = measure_agreement(flat(scores, exact), flat(exact, exact))
        error = sum(float(e.mean(0).sum().abs()) for e in scores.errors.values())
        feature = sum(float(f.mean(0).sum(0).abs().sum()) for f in scores.features.values())
        rows[name] = {
            "nodes": {"faithfulness": found.faithfulness, "without": found.without},
            "nodes, mean": {"faithfulness": mean.faithfulness, "without": mean.without},
            "agreement": vars(agreement),
            "errors": error / (error + feature),
        }
        if name not in ESTIMATORS:
            continue
        started = time.perf_counter()
        edges = feature_edges(model, pairs, splices, nodes, estimator=name, direction="noise")
        seconds = time.perf_counter() - started
        curve = feature_edge_curve(model, held_out, splices, edges, EDGES)
        rows[name]["edges"] = {"faithfulness": curve.faithfulness, "without": curve.without}
        rows[name]["edge agreement"] = vars(
            measure_agreement(*cut_alone(model, pairs, splices, edges))
        )
        rows[name] |= {"seconds": seconds, "sum": edges.cut_sums.ratios["edges into output"]}
        print(f"  {name}: {len(edges)} edges in {seconds:.1f} s", flush=True)
    gap = float((exact.clean - exact.corrupt).mean())
    return {"kind": kind, "prompts": count, "gap": gap, "rows": rows}


def tables(cells: Sequence[dict]) -> str:
    """Means over kinds of phrases."""

    def mean(name: str, *keys: str) -> list[float]:
        picked = []
        for cell in cells:
            value = cell["rows"][name]
            for key in keys:
                value = value[key]
            picked.append(torch.tensor(value).double().reshape(-1))
        return torch.stack(picked).mean(0).tolist()

    def agreement(name: str, key: str) -> str:
        parts = ("per_prompt", "rank", "error")
        return " / ".join(f"{mean(name, key, part)[0]:.3f}" for part in parts)

    names = list(cells[0]["rows"])
    lines = [
        "| estimator | features: per prompt / rank / RMS error | edges: the same"
        " | edges into the output, of the gap | error terms, share of the scores |",
        "|---|---|---|---|---|",
    ]
    for name in names:
        own = name in ESTIMATORS
        edge = agreement(name, "edge agreement") if own else ""
        total = f"{mean(name, 'sum')[0]:.2f}" if own else ""
        errors = f"{mean(name, 'errors')[0]:.0%}"
        feature = agreement(name, "agreement")
        lines.append(f"| `{name}` | {feature} | {edge} | {total} | {errors} |")
    for title, kind, counts in (
        ("nodes kept", "nodes", NODES),
        ("nodes kept, others at their mean", "nodes, mean", NODES),
        ("edges kept", "edges", EDGES),
    ):
        for part in ("faithfulness", "without"):
            lines += [
                "",
                f"{title}, {part}:",
                "",
                "| estimator | " + " | ".join(map(str, counts)) + " |",
            ]
            lines.append("|---" * (len(counts) + 1) + "|")
            for name in names:
                if kind == "edges" and name not in ESTIMATORS:
                    continue
                cells_of = [f"{value:.2f}" for value in mean(name, kind, part)]
                lines.append(f"| `{name}` | " + " | ".join(cells_of) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    net, splices = load_subject(args.folder)
    for parameter in [*net.parameters(), *(p for s in splices for p in s.dictionary.parameters())]:
        parameter.requires_grad_(False)
    cells = []
    for kind in args.kind or KINDS:
        print(kind, flush=True)
        model = CircuitModel(net, agreement_pairs(kind, 4, 0).clean)
        cells.append(measure(model, kind, splices, args.count))
    if args.json:
        args.json.write_text(json.dumps(cells, indent=1))
    print(tables(cells))


if __name__ == "__main__":
    main()
