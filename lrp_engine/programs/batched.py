"""Run a relevance program for many seeds at once: torch.vmap over the seed, kept values shared."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, fx

from ..errors import RuleError
from ..graphs.aten import RESHAPE_FOR_VIEWS, RUN_STEPS, SLICE_SCATTER
from ..graphs.modules import copy_graph
from ..kernels.dense_rows import dense_rows, with_dense_rows
from ..kernels.steps import walk_steps

# torch.vmap does not look into ops that are not its own.
_BATCHABLE: dict[object, object] = dict(
    [*RESHAPE_FOR_VIEWS.items(), (dense_rows, with_dense_rows), (RUN_STEPS, walk_steps)]
)


def run_many(
    relevance: Callable[[list[object]], Sequence[Tensor]],
    seeds: Sequence[Sequence[Tensor]],
    promises: Sequence[object],
    at_once: int,
) -> list[list[Tensor]]:
    """Return the relevance program's results for each seed.

    Args:
        relevance: Takes a list of the seed's tensors and the promises.
        seeds: The tensors of each seed, of equal shapes for all seeds.
        promises: Inputs and kept values; they are the same for all seeds and never copied.
        at_once: So many seeds are run together.

    Raises:
        RuleError: an op of the relevance program cannot be run for several seeds together.
    """
    found: list[list[Tensor]] = []
    for start in range(0, len(seeds), at_once):
        chunk = seeds[start : start + at_once]
        if len(chunk) == 1:
            found.append(list(relevance([*chunk[0], *promises])))
            continue
        stacked = [torch.stack(parts) for parts in zip(*chunk, strict=True)]
        together = _run_together(relevance, stacked, promises)
        found += [[result[i] for result in together] for i in range(len(chunk))]
    return found


def relax_views(relevance: fx.GraphModule) -> fx.GraphModule:
    """Return the same program as vmap can run it.

    Views become reshapes, since vmap may change strides, and slices that end at the largest integer
    end at None: vmap counts one further.
    """
    module = copy.copy(relevance)
    graph = copy_graph(relevance.graph)
    for node in graph.nodes:
        node.target = _BATCHABLE.get(node.target, node.target)
        if node.target is SLICE_SCATTER:
            node.args = tuple(None if arg == sys.maxsize else arg for arg in node.args)
    module.graph = graph
    return module


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence vmap's warning about ops without a batched form: a loop is slower, not wrong."""
    switch = getattr(torch._C._functorch, "_set_vmap_fallback_warning_enabled")  # noqa: B009
    switch(False)
    try:
        yield
    finally:
        switch(True)


def _run_together(
    relevance: Callable[[list[object]], Sequence[Tensor]],
    seeds: Sequence[Tensor],
    promises: Sequence[object],
) -> tuple[Tensor, ...]:
    def one(*seed: Tensor) -> tuple[Tensor, ...]:
        return tuple(relevance([*seed, *promises]))

    with _without_warnings():
        try:
            results: tuple[Tensor, ...] = torch.vmap(one)(*seeds)
        except RuntimeError as error:
            first = str(error).strip().split("\n", 1)[0]
            raise RuleError(
                f"the relevance program cannot be run for several targets together: {first}."
                " Use explain_each, which runs it for one after the other"
            ) from error
    return results
