"""Count which model classes of transformers and timm run, are captured, covered and conserved.

    python -m benchmarks.census FILE.jsonl [--library transformers timm] [--only FAMILY ...]
        [--most N] [--limit SECONDS] [--memory GIB] [--again STAGE ...] [--explain-every N]

Each model runs in a process of its own, forked off one that has everything imported, under limits
of time and memory. FILE gets one line per model; what it holds already is not run again. Then
`python -m benchmarks.census.table FILE.jsonl` writes the table.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from .isolate import isolate
from .torchvision_ops import declare_missing_ops
from .trial import Outcome, Stage, explain, plan

PRESET = "attnlrp"
COMMON = ("llama", "bert", "clip", "vit", "wav2vec2")  # models that others are made of


def try_one(library: str, member: Any, whole: bool, say: Any) -> None:
    """Try one model in this process; `say` takes what is known of it so far.

    `whole`: explain it, too; else the plan is the last stage.
    """
    outcome = Outcome(library, member.family, member.name)

    def built(level: Any, parameters: int) -> None:
        outcome.level, outcome.parameters = str(getattr(level, "value", level)), parameters
        outcome.reach(Stage.BUILT, say)

    start = time.perf_counter()
    try:
        model, first, second, level = _make(library, member, outcome, built)
    except Exception as error:
        outcome.fail(error)
        outcome.seconds = round(time.perf_counter() - start, 1)
        say(vars(outcome))
        return
    outcome.level = str(getattr(level, "value", level))
    outcome.inputs = {name: list(tensor.shape) for name, tensor in first.items()}
    outcome.reach(Stage.RUNS, say)
    engine = plan(outcome, model, first, PRESET, say)
    if engine is not None and whole:
        explain(outcome, engine, second, say)
    say(vars(outcome))


def _make(library: str, member: Any, outcome: Outcome, built: Any) -> Any:
    if library == "timm":
        from . import timm_families

        outcome.name = timm_families.smallest(member.family)
        return timm_families.make(member._replace(name=outcome.name), built)
    from . import transformers_classes

    return transformers_classes.make(member, built)


def warm_up(library: str) -> None:
    """Import what every trial needs, before processes are forked."""
    import lrp_engine as lrp

    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    x = torch.randn(2, 3)
    lrp.Engine(model.eval(), x).explain(x, 1).check()
    if library == "transformers":
        for family in COMMON:
            importlib.import_module(f"transformers.models.{family}.modeling_{family}")


def members_of(library: str) -> list[Any]:
    if library == "timm":
        from .timm_families import members as families

        return list(families())
    from .transformers_classes import members as classes

    return list(classes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--library", nargs="*", default=["transformers", "timm"])
    parser.add_argument("--only", nargs="*", help="these families or classes")
    parser.add_argument("--most", type=int, default=10**9)
    parser.add_argument("--limit", type=float, default=120, help="seconds of computing")
    parser.add_argument("--memory", type=float, default=10, help="GiB of address space")
    parser.add_argument("--again", nargs="*", default=[], help="run those that stopped here again")
    parser.add_argument("--explain-every", type=int, default=1, help="the others: plan only")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    declare_missing_ops()
    done = _done(options.file, options.again)
    for library in options.library:
        warm_up(library)
    todo = [(k, m) for k, m in in_turn(options.library) if not _is_done(k, m, done)]
    if options.only:
        todo = [(k, m) for k, m in todo if {m.family, m.name} & set(options.only)]
    for i, (library, member) in enumerate(todo[: options.most]):
        whole = i % options.explain_every == 0
        trial = partial(try_one, library, member, whole)
        found = isolate(trial, options.limit, options.memory)
        row = vars(Outcome(library, member.family, member.name)) | found
        with options.file.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row["stage"], row["family"], row["name"], row["message"][:150], flush=True)


def in_turn(libraries: list[str]) -> list[tuple[str, Any]]:
    """Return the models of all libraries, one of each in turn, as long as each has some."""
    queues = [[(library, member) for member in members_of(library)] for library in libraries]
    return [pair for turn in zip_longest(*queues) for pair in turn if pair is not None]


def _done(file: Path, again: list[str]) -> set[tuple[str, str]]:
    lines = file.read_text().splitlines() if file.exists() else []
    rows = {
        (r["library"], r["name"] if r["library"] != "timm" else r["family"]): r
        for r in map(json.loads, lines)
    }
    return {key for key, row in rows.items() if row["stage"] not in again}


def _is_done(library: str, member: Any, done: set[tuple[str, str]]) -> bool:
    return (library, member.family if library == "timm" else member.name) in done


if __name__ == "__main__":
    main()
