"""The smallest model of every family of timm, at a small image where the model takes one."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from .trial import LARGEST, Inputs, NotRun, runs, stir

SIDES = (64, 96)
TRIED_PER_FAMILY = 6
SMALL_WORDS = (
    "test",
    "zepto",
    "atto",
    "femto",
    "pico",
    "nano",
    "xxs",
    "xxtiny",
    "xtiny",
    "tiny",
    "xs",
    "050",
    "micro",
    "s0",
    "mini",
    "small",
    "s",
    "b0",
)


class Member(NamedTuple):
    """The smallest model of a family."""

    family: str
    name: str


def members(*, seed: int = 0) -> list[Member]:
    """Return one model per family, smallest by parameters, in an order drawn at random."""
    from timm.models import list_modules

    families = sorted(list_modules())
    random.Random(seed).shuffle(families)
    return [Member(family, "") for family in families]


def smallest(family: str) -> str:
    """Return the name of the model with the fewest parameters."""
    import timm

    sized = []
    for name in _likely_small(timm.list_models(module=family)):
        with torch.device("meta"):
            model = timm.create_model(name, pretrained=False)
        sized.append((sum(p.numel() for p in model.parameters()), name))
    if not sized or min(sized)[0] > LARGEST:
        raise NotRun("no model of this family is small enough")
    return min(sized)[1]


def _likely_small(names: list[str]) -> list[str]:
    """Return a few names that say that they are small: large families take minutes to build."""

    def place(name: str) -> int:
        words = name.split("_")
        return next((i for i, word in enumerate(SMALL_WORDS) if word in words), len(SMALL_WORDS))

    return sorted(names, key=place)[:TRIED_PER_FAMILY]


def make(
    member: Member, built: Callable[[str, int], None]
) -> tuple[nn.Module, Inputs, Inputs, str]:
    """Return a model that runs with two inputs, and how it was made."""
    name = member.name
    faults = []
    for side in (*SIDES, None):
        try:
            model, shape = _build(name, side)
            built(name, sum(p.numel() for p in model.parameters()))
            first, second = ({"x": torch.randn(2, *shape)} for _ in range(2))
            runs(model, first), runs(model, second)
        except Exception as error:
            faults.append(f"{type(error).__name__}: {error}")
            continue
        return model, first, second, f"{shape[-1]} px"
    raise NotRun("; ".join(faults)[:400])


def _build(name: str, side: int | None) -> tuple[nn.Module, tuple[int, ...]]:
    import timm

    torch.manual_seed(0)
    if side is None:
        model = timm.create_model(name, pretrained=False, num_classes=10)
        return _named(model), model.default_cfg["input_size"]
    try:
        model = timm.create_model(name, pretrained=False, num_classes=10, img_size=side)
    except TypeError:
        model = timm.create_model(name, pretrained=False, num_classes=10)
    return _named(model), (model.default_cfg["input_size"][0], side, side)


def _named(model: nn.Module) -> nn.Module:
    return stir(model)
