"""Tell which ops of a graph draw random numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import fx

from .aten import DROPOUT
from .nodes import origin, target_name
from .schema import bind

# Arguments of ops with dropout that switch it off, with the value that does.
_OFF = {DROPOUT: 0.0, "train": False, "training": False, "p": 0.0}
_DROPS = ("train", "training", DROPOUT)


def is_random(node: fx.Node) -> bool:
    """Return whether computing a node again could give another result.

    Torch tags all ops that can draw; those whose dropout is switched off do not.
    """
    if torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ()):
        return False
    arguments = bind(node.target, node.args, node.kwargs)
    if not any(name in arguments for name in _DROPS):
        return True
    return not any(arguments.get(name) == off for name, off in _OFF.items())


@contextmanager
def keep_generators() -> Iterator[None]:
    """Leave torch's generators as they were: what is tried out draws for nobody."""
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count()) if started else ()
    with torch.random.fork_rng(devices=devices):
        yield


def find_draws(graph: fx.Graph) -> tuple[fx.Node, ...]:
    """Return the ops of a graph that draw random numbers, in order."""
    return tuple(n for n in graph.nodes if n.op == "call_function" and is_random(n))


def describe_draws(draws: Iterable[fx.Node]) -> str:
    """Return which ops draw, and in which modules."""
    places = dict.fromkeys(f"{target_name(n)} in {origin(n).module or '(root)'}" for n in draws)
    return ", ".join(places)
