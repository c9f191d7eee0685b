"""Threads: captures side by side, and one fresh engine that all threads use from its first call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn

from lrp_engine import Engine
from lrp_engine.circuits import CircuitModel, score
from lrp_engine.demo.ioi import ioi_subject
from lrp_engine.graphs import tracing_lock
from tests.support import draw, seeded

X = draw(3, 6)
THREADS = 8


def small() -> nn.Module:
    return seeded(
        lambda: nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 4))
    )


def side_by_side(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    """Start all jobs at one moment."""
    start = threading.Barrier(len(jobs))

    def run(job: Callable[[], Any]) -> Any:
        start.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def explain_in(engine: Engine, number: int) -> torch.Tensor:
    """One of several kinds of call, each of which writes other programs."""
    preset = ("attnlrp", "epsilon", "gradient")[number % 3]
    used = engine if number % 3 == 0 else engine.with_preset(preset)
    found = used.explain(X, number % 4, ledger=number % 2 == 1)
    found.check()
    return found.relevance["input"]


def test_a_fresh_engine_serves_all_threads_from_its_first_call() -> None:
    alone, shared = Engine(small(), X), Engine(small(), X)
    expected = [explain_in(alone, i) for i in range(THREADS)]
    found = side_by_side([lambda i=i: explain_in(shared, i) for i in range(THREADS)])
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_captures_side_by_side() -> None:
    expected = Engine(small(), X).explain(X, 1).relevance["input"]
    models = [small() for _ in range(4)]  # made in turn: threads share the seed
    engines = side_by_side([lambda m=m: Engine(m, X) for m in models])
    assert all(torch.equal(e.explain(X, 1).relevance["input"], expected) for e in engines)


def test_a_device_is_the_captures_while_another_thread_traces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fake tensor says "meta" of itself while any thread runs an op on tensors of its mode."""
    engine = Engine(small(), X)
    expected = engine.explain(X, 1).relevance["input"]
    fake = engine.captured.inputs[0].node.meta["val"]
    monkeypatch.setattr(fake.fake_mode, "in_kernel_invocation", True)
    assert fake.device.type == "meta"
    assert torch.equal(engine.explain(X, 1).relevance["input"], expected)


@pytest.mark.slow
def test_a_circuit_model_serves_all_threads() -> None:
    model, pairs = ioi_subject()
    fresh = CircuitModel(*_source(model, pairs))
    names = ["relp", "gradient", "attnlrp", "relp_mid"]
    expected = [score(model, pairs, "z", estimator=name) for name in names]
    found = side_by_side([lambda n=n: score(fresh, pairs, "z", estimator=n) for n in names])
    for a, b in zip(found, expected, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in b.values)


def _source(model: CircuitModel, pairs: Any) -> tuple[Any, Any]:
    from lrp_engine.demo.ioi import load_ioi_model

    return load_ioi_model(), pairs.clean


def test_no_two_threads_trace_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = [0], [0]

    def compute(_: object) -> int:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        threading.Event().wait(0.02)
        inside[0] -= 1
        return most[0]

    class Several:
        one = tracing_lock.once(compute)

    side_by_side([lambda: Several().one] * 4)
    assert most == [1]
    # Without the lock they do.
    monkeypatch.setattr(tracing_lock, "TRACING", nullcontext())
    side_by_side([lambda: Several().one] * 4)
    assert most[0] > 1


def test_other_threads_find_their_warnings_and_standard_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys
    import warnings

    before, stream = list(warnings.filters), sys.stderr
    side_by_side([lambda: Engine(small(), X)] * 3)
    assert warnings.filters == before
    assert sys.stderr is stream
