"""Agreement of every estimator with exact activation patching, on small models and several tasks.

    python -m benchmarks.circuit_scores                      # the model that comes along (gpt2s)
    python -m benchmarks.circuit_scores --folder F --model llama --task sva --json out.json
    python -m benchmarks.circuit_scores --read out.json --read more.json   # tables over all cells

The folder holds NAME.json (a transformers config) and NAME.safetensors, as `train_task_models`
writes them. A cell is a model, a task and a kind of component. `--weights` also measures ways to
mix the gradient and delta. Tasks: `ioi:0` to `ioi:4` (a template), and those of `circuit_tasks`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.circuit_tasks import task_pairs
from benchmarks.mixing import WEIGHTS, mix
from lrp_engine.circuits import ESTIMATORS, CircuitModel, Pairs, Scores, compare, patch
from lrp_engine.circuits.agreement import measure_agreement
from lrp_engine.circuits.estimators import LinearEstimator, PathPoint, along_path
from lrp_engine.demo import ioi

KINDS = ("resid_pre", "attn_out", "mlp_out")
COLUMNS = ("pearson", "per_prompt", "rank", "error")
Rows = dict[str, dict[str, dict[str, float]]]


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


def pairs_of(task: str, count: int) -> Pairs:
    """Prompts of a template of the IOI models (`ioi:2`), or of a task."""
    name, _, template = task.partition(":")
    return ioi.ioi_pairs(int(template), count) if template else task_pairs(name, count)


def measure(model: CircuitModel, task: str, count: int, direction: str, weights: bool) -> dict:
    """Agreement per estimator and kind, and the seconds of exact patching."""
    pairs = pairs_of(task, count)
    started = time.perf_counter()
    exact = patch(model, pairs, KINDS, direction=direction)
    seconds = time.perf_counter() - started
    estimators = [*ESTIMATORS.values(), *CANDIDATES]
    several = compare(model, pairs, KINDS, estimators=estimators, direction=direction)
    # Where the runs do not differ every score is 0; such components would only flatter.
    moved = {k: sum(_effects(s, k).abs().sum(1) for s in several) > 0 for k in KINDS}
    rows = {s.estimator: _compare(s, exact, moved) for s in several}
    if weights:
        by_name = {s.estimator: s for s in several}
        for name, weigh in WEIGHTS.items():
            mixed = mix(by_name["gradient"], by_name["delta"], weigh)
            rows[f"w = {name}"] = _compare(mixed, exact, moved)
    gap = exact.clean - exact.corrupt
    right = float(((exact.clean > exact.corrupt).float()).mean())
    return {"task": task, "direction": direction, "prompts": count, "patching": seconds} | {
        "gap": float(gap.mean()),
        "right": right,
        "rows": rows,
    }


def _compare(scores: Scores, exact: Scores, moved: Mapping[str, Tensor]) -> dict:
    found = {}
    for kind in KINDS:
        estimates, exacts = (_effects(s, kind)[moved[kind]] for s in (scores, exact))
        found[kind] = asdict(measure_agreement(estimates, exacts))
    found["resid_pre"]["sums"] = list(scores.cut_sums.ratios.values())
    return found


def _effects(scores: Scores, kind: str) -> Tensor:
    """Scores of a kind, (component, prompt)."""
    return torch.cat([scores[s.name].T for s in scores.sites if s.kind.value == kind])


def tables(cells: Iterable[dict]) -> str:
    """Means over all cells: each estimator's agreement, kind by kind and overall, and its sums."""
    cells = list(cells)
    names = list(cells[0]["rows"])
    lines = [
        "| estimator | Pearson | per prompt | rank | RMS error | per prompt by kind"
        " | rank by kind | sum at a cut |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in names:
        by_kind: dict[str, list[dict[str, float]]] = defaultdict(list)
        sums: list[float] = []
        for cell in cells:
            for kind in KINDS:
                by_kind[kind].append(cell["rows"][name][kind])
            sums += cell["rows"][name]["resid_pre"]["sums"]
        every = [row for rows in by_kind.values() for row in rows]
        overall = " | ".join(f"{_mean(every, column):.3f}" for column in COLUMNS)
        kinds = " | ".join(
            " / ".join(f"{_mean(by_kind[k], column):.3f}" for k in KINDS)
            for column in ("per_prompt", "rank")
        )
        span = f"{min(sums):.2f} to {max(sums):.2f}" if sums else ""
        lines.append(f"| `{name}` | {overall} | {kinds} | {span} |")
    return "\n".join(lines)


def _mean(rows: list[dict[str, float]], column: str) -> float:
    return sum(row[column] for row in rows) / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--model", action="append")
    parser.add_argument("--task", action="append")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--direction", default="denoise")
    parser.add_argument("--weights", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--read", type=Path, action="append")
    args = parser.parse_args()
    if args.read:
        cells = [cell for path in args.read for cell in json.loads(path.read_text())]
        wanted = [
            c
            for c in cells
            if (not args.model or c["model"] in args.model)
            and (not args.task or c["task"] in args.task)
        ]
        print(f"{len(wanted)} models and tasks\n\n{tables(wanted)}")
        return
    found = []
    for name in args.model or ["gpt2s"]:
        net = load(args.folder, name)
        model = CircuitModel(net, pairs_of("ioi:0", args.prompts).clean)
        for task in args.task or ["ioi:0"]:
            cell = measure(model, task, args.prompts, args.direction, args.weights)
            found.append({"model": name} | cell)
            print(
                f"\n{name}, {task}, gap {cell['gap']:+.3f}, right {cell['right']:.2f}", flush=True
            )
            print(tables(found[-1:]), flush=True)
            if args.json:
                args.json.write_text(json.dumps(found, indent=1))
    if len(found) > 1:
        print(f"\nMeans\n{tables(found)}")


if __name__ == "__main__":
    main()
