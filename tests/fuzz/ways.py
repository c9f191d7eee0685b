"""Dearer oracles: other ways to the same relevance. Compiled, from several threads, as scores."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from unittest import mock

import torch
from torch import Tensor

from lrp_engine import Engine
from lrp_engine.circuits import CircuitModel, Pairs, score
from tests.fuzz.nets import clone
from tests.fuzz.oracles import Case, explain, require_close, targets
from tests.fuzz.outcomes import SilentError, require

THREADS = 4


def threads_agree(case: Case) -> None:
    """A fresh engine, used by several threads at once from its first call."""
    if case.net.draws:
        return
    engine, together = case.new_engine(), Barrier(THREADS)

    def run(_thread: int) -> object:
        inputs = clone(case.inputs)
        together.wait(timeout=60)
        return engine.explain(inputs, targets(inputs))

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(run, range(THREADS)))
    for ex in found:
        require_close(ex, case.audited, case.size, case.close)


def compiled_by(backend: str) -> Callable[[Case], None]:
    """Compiled programs agree; a cheap backend traces as the real compiler does."""

    def compiled_agrees(case: Case) -> None:
        if case.net.draws:
            return
        torch._dynamo.reset()
        compiler = partial(torch.compile, backend=backend)
        with mock.patch.object(torch, "compile", compiler):
            ex = explain(case.new_engine(compile=True), case.inputs)
        require_close(ex, case.audited, case.size, max(case.close, 1e-8))

    return compiled_agrees


def scores_are_coefficients_times_differences(case: Case) -> None:
    """CircuitModel's score of a step is the engine's coefficient times (clean - corrupt) there."""
    if case.net.draws or any(port.kind != "f" for port in case.net.ports):
        return
    path = f"steps.{len(case.net.steps) - 1}"
    clean, corrupt = case.inputs, case.net.inputs(seed=30)
    if not floats_at(case, path, clean):
        return
    chosen = torch.tensor(targets(clean))[:, None]
    pairs = Pairs(clone(clean), clone(corrupt), lambda output: output.gather(1, chosen)[:, 0])
    scores = score(CircuitModel(case.model, clone(clean)), pairs, [path], estimator="relp")
    (values,) = scores.values.values()
    sources = [*"abc"[: len(case.net.ports)], path]
    engine = Engine(case.model, clone(clean), preset="relp", sources=sources)
    coefficient = explain(engine, corrupt).coefficient[path]
    difference = activation(case, path, clean) - activation(case, path, corrupt)
    expected = total(coefficient * difference)
    away = float((total(values) - expected).abs().max())
    scale = float((coefficient * difference).abs().sum()) + 1e-30
    require(away <= 1e-8 * scale, f"score of {path} is off by {away / scale:.1e}")


def total(values: Tensor) -> Tensor:
    """Sum all but the batch."""
    return values.reshape(values.shape[0], -1).sum(1)


def activation(case: Case, path: str, inputs: tuple[Tensor, ...]) -> Tensor:
    """What a module returns, by a hook that is gone afterwards."""
    seen: list[Tensor] = []
    module = case.model.get_submodule(path)
    handle = module.register_forward_hook(lambda _m, _i, out: seen.append(out.detach().clone()))
    with torch.no_grad():
        case.model(*clone(inputs))
    handle.remove()
    if len(seen) != 1:
        raise SilentError(f"{path} ran {len(seen)} times")
    return seen[0]


def floats_at(case: Case, path: str, inputs: tuple[Tensor, ...]) -> bool:
    return bool(case.net.steps) and activation(case, path, inputs).is_floating_point()
