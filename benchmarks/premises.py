"""Cost of the watches and of the first-call proof, on GPT-2 small: host time, and share of a call.

Usage: python benchmarks/premises.py [tokens]
"""

from __future__ import annotations

import sys
import time
import timeit
from collections.abc import Callable
from statistics import median

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from lrp_engine import Engine
from lrp_engine.run.inputs import check_parameters, check_premises, enter_run


def time_once(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main(tokens: int) -> None:
    """Print a table in microseconds, and the share of a warm explanation."""
    model = GPT2LMHeadModel(GPT2Config()).eval()
    ids = torch.randint(0, 50257, (1, tokens))
    engine = Engine(model, {"input_ids": ids})
    captured = engine.captured

    def explain() -> object:
        return engine.explain({"input_ids": ids}, target=11, position=-1)

    def enter() -> None:
        with enter_run(captured):
            pass

    first = time_once(explain)
    warm = median(time_once(explain) for _ in range(15))
    leaves = [ids]
    parts = {
        "modes": enter,
        "attributes, flags, modules": lambda: check_premises(captured),
        "of it parameters, as before": lambda: check_parameters(captured),
        "is this size proved?": lambda: engine._explainer.proof.run_model(captured, leaves),
        "hooks": captured.premises.new_hook if captured.premises else enter,
    }
    print(f"{torch.get_num_threads()} threads, {tokens} tokens, torch {torch.__version__}")
    print(f"first explanation {first * 1e3:.0f} ms (programs and proof), warm {warm * 1e3:.1f} ms")
    for name, part in parts.items():
        cost = min(timeit.repeat(part, number=50, repeat=9)) / 50
        print(f"{name:32} {cost * 1e6:7.1f} us  {cost / warm:7.3%} of a warm explanation")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 64)
