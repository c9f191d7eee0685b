"""Correlation of every estimator with exact activation patching, on models that solve IOI.

    python benchmarks/circuit_scores.py                      # the model that comes along (gpt2s)
    python benchmarks/circuit_scores.py --folder F --model gpt2 --model llama --json out.json

The folder holds NAME.json (a transformers config), NAME.safetensors, vocab.json, prompts.jsonl.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from lrp_engine.circuits import (
    ESTIMATORS,
    CircuitModel,
    Pairs,
    Scores,
    compare,
    logit_difference,
    patch,
)
from lrp_engine.circuits.agreement import pearson, spearman
from lrp_engine.circuits.estimators import LinearEstimator, PathPoint, along_path
from lrp_engine.demo import ioi

KINDS = ("resid_pre", "attn_out", "mlp_out")


def ends(name: str, preset: str) -> LinearEstimator:
    """The mean of the coefficients on both runs."""
    terms = (PathPoint(0.0, 0.5, preset), PathPoint(1.0, 0.5, preset))
    return LinearEstimator(name, terms, "", "both ends of the path")


CANDIDATES = (
    ends("gradient, both ends", "gradient"),
    ends("relp, both ends", "relp"),
    along_path("gradient, midpoint", "gradient", 1, "", ""),
    along_path("gradient, 2 points", "gradient", 2, "", ""),
    along_path("relp, 5 points", "relp", 5, "", ""),
)


def load(folder: Path | None, name: str) -> torch.nn.Module:
    """The model that comes along, or one of the folder."""
    if folder is None:
        return ioi.load_ioi_model()
    config = json.loads((folder / f"{name}.json").read_text())
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    weights = load_file(folder / f"{name}.safetensors")
    model.load_state_dict({n: w.float() for n, w in weights.items()}, strict=False)
    model.tie_weights()
    return model.eval()


def pairs_of(template: int, count: int) -> Pairs:
    """The prompts that come along are those of the folder."""
    chosen = ioi.ioi_prompts(template)[:count]
    sides = [torch.tensor([ioi.tokenize(p[s]) for p in chosen]) for s in ("clean", "corrupt")]
    answers = [torch.tensor([ioi.tokenize([p[s]])[0] for p in chosen]) for s in ("answer", "wrong")]
    clean, corrupt = ({"input_ids": side} for side in sides)
    return Pairs(clean, corrupt, logit_difference(*answers))


def measure(name: str, folder: Path | None, template: int, count: int) -> dict:
    """Pearson and rank correlation per kind and estimator; seconds of exact patching."""
    pairs = pairs_of(template, count)
    model = CircuitModel(load(folder, name), pairs.clean)
    started = time.perf_counter()
    exact = patch(model, pairs, KINDS)
    seconds = time.perf_counter() - started
    estimators = [*ESTIMATORS.values(), *CANDIDATES]
    rows = {}
    several = compare(model, pairs, KINDS, estimators=estimators)
    # Where the runs do not differ every score is 0; such components would only flatter.
    moved = {k: sum(s.grid(k)[1].abs() for s in several) > 0 for k in KINDS}
    for scores in several:
        grids = [_both(scores, exact, moved, kind) for kind in KINDS]
        rows[scores.estimator] = {
            "passes": next(e.passes for e in estimators if e.name == scores.estimator),
            "pearson": [pearson(a, b) for a, b in grids],
            "rank": [spearman(a, b) for a, b in grids],
        }
    return {"model": name, "template": template, "prompts": count, "patching": seconds} | {
        "gap": exact.gap,
        "rows": rows,
    }


def _both(scores: Scores, exact: Scores, moved: dict, kind: str) -> tuple[Tensor, Tensor]:
    """Estimates and exact effects of the components that differ between the runs."""
    return scores.grid(kind)[1][moved[kind]], exact.grid(kind)[1][moved[kind]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--model", action="append")
    parser.add_argument("--template", type=int, action="append")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = []
    for name in args.model or ["gpt2s"]:
        for template in args.template or [0]:
            result = measure(name, args.folder, template, args.prompts)
            found.append(result)
            print(f"\n{name}, template {template}: {' / '.join(KINDS)}", flush=True)
            for estimator, row in result["rows"].items():
                p, r = (" / ".join(f"{x:.3f}" for x in row[k]) for k in ("pearson", "rank"))
                print(f"  {estimator:28} {row['passes']:2} pass(es)  Pearson {p}  rank {r}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
