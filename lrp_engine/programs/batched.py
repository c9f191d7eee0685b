"""Many seeds in one run of the relevance program: torch.vmap over the seed, promises shared."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx

from ..errors import RuleError
from ..graphs.aten import LOOSE
from ..kernels.dense_rows import dense_rows, with_dense_rows

# torch.vmap does not look into ops that are not its own.
_LOOSE: dict[Any, Any] = {**LOOSE, dense_rows: with_dense_rows}
Relevance = Callable[[list[Any]], Sequence[Any]]


def run_many(
    relevance: Relevance, seeds: Sequence[Sequence[Tensor]], promises: Sequence[Any], at_once: int
) -> list[list[Tensor]]:
    """The results for each seed. Inputs and kept values are the same for all and never copied.

    `at_once` seeds travel together. Raises RuleError if an op of the relevance program cannot be
    run for several seeds together.
    """
    found: list[list[Tensor]] = []
    for start in range(0, len(seeds), at_once):
        chunk = seeds[start : start + at_once]
        if len(chunk) == 1:
            found.append(list(relevance([*chunk[0], *promises])))
            continue
        stacked = [torch.stack(parts) for parts in zip(*chunk, strict=True)]
        together = _together(relevance, stacked, promises)
        found += [[result[i] for result in together] for i in range(len(chunk))]
    return found


def loosened(relevance: fx.GraphModule) -> fx.GraphModule:
    """The same program for batched tensors, whose memory may lie otherwise than views ask for."""
    module = copy.copy(relevance)
    graph = fx.Graph()
    values: dict[fx.Node, fx.Node] = {}
    result = graph.graph_copy(relevance.graph, values)
    graph.output(result)
    graph.set_codegen(relevance.graph._codegen)
    for node in graph.nodes:
        node.target = _LOOSE.get(node.target, node.target)
    module.graph = graph
    return module


@contextmanager
def _without_warnings() -> Iterator[None]:
    """An op that torch knows no batched form of is called seed by seed: slower, not wrong."""
    functorch: Any = torch._C._functorch
    switch = functorch._set_vmap_fallback_warning_enabled
    switch(False)
    try:
        yield
    finally:
        switch(True)


def _together(
    relevance: Relevance, seeds: Sequence[Tensor], promises: Sequence[Any]
) -> tuple[Tensor, ...]:
    def one(*seed: Tensor) -> tuple[Tensor, ...]:
        return tuple(relevance([*seed, *promises]))

    with _without_warnings():
        try:
            return torch.vmap(one)(*seeds)
        except RuntimeError as error:
            first = str(error).strip().split("\n", 1)[0]
            raise RuleError(
                f"the relevance program cannot be run for several targets together: {first}."
                " Use explain_each, which runs it for one after the other"
            ) from error
