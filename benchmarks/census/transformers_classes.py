"""The model classes of transformers, as its auto classes know them, and how each is made small."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES

from .inputs import Inputs, candidates, redrawn, with_image_tokens
from .shrink import Level, small
from .trial import LARGEST, NotRun, runs, stir

# The head that stands for a model, if it has several.
HEADS = (
    "IMAGE_TEXT_TO_TEXT",
    "CAUSAL_LM",
    "IMAGE_CLASSIFICATION",
    "SPEECH_SEQ_2_SEQ",
    "SEQ_TO_SEQ_CAUSAL_LM",
    "CTC",
    "AUDIO_CLASSIFICATION",
    "OBJECT_DETECTION",
    "SEQUENCE_CLASSIFICATION",
    "MASKED_LM",
)


class Member(NamedTuple):
    """One class of one model; `family` is the folder it lies in."""

    family: str
    name: str
    model_type: str


def members(*, seed: int = 0) -> list[Member]:
    """Return all classes: one of every family, one of each other config, the rest.

    Decoders of text come last among the families: they are many and much alike.
    """
    found = list(_members())
    random.Random(seed).shuffle(found)
    found.sort(key=lambda m: _rank(m))
    first = _firsts(found, lambda m: m.family)
    second = _firsts([m for m in found if m not in first], lambda m: m.model_type)
    rest = [m for m in found if m not in first and m not in second]
    for group in (first, second, rest):
        random.Random(seed).shuffle(group)
        group.sort(key=lambda m: _rank(m) == HEADS.index("CAUSAL_LM"))
    return [*first, *second, *rest]


def _firsts(members: list[Member], key: Any) -> list[Member]:
    taken: dict[str, Member] = {}
    for member in members:
        taken.setdefault(key(member), member)
    return list(taken.values())


def _members() -> Iterator[Member]:
    seen = set[str]()
    for mapping in sorted(n for n in dir(modeling_auto) if n.endswith("_MAPPING_NAMES")):
        if not mapping.startswith("MODEL_"):
            continue
        for model_type, names in getattr(modeling_auto, mapping).items():
            for name in (names,) if isinstance(names, str) else names:
                if name not in seen and model_type in CONFIG_MAPPING_NAMES:
                    seen.add(name)
                    yield Member(_family(model_type), name, model_type)


def _family(model_type: str) -> str:
    kind = CONFIG_MAPPING[model_type] if _known(model_type) else None
    return kind.__module__.split(".")[2] if kind else model_type


def _known(model_type: str) -> bool:
    try:
        return bool(CONFIG_MAPPING[model_type])
    except Exception:
        return False


def _rank(member: Member) -> int:
    tables = {head: getattr(modeling_auto, f"MODEL_FOR_{head}_MAPPING_NAMES") for head in HEADS}
    places = [i for i, h in enumerate(HEADS) if tables[h].get(member.model_type) == member.name]
    return min(places, default=len(HEADS))


class Made(NamedTuple):
    """A model that runs, with two inputs."""

    model: torch.nn.Module
    first: Inputs
    second: Inputs
    level: Level


def make(member: Member, built: Any) -> Made:
    """Return the smallest that runs; `built` is called once one is built. Raises NotRun."""
    transformers.logging.set_verbosity_error()
    faults: list[str] = []
    for level in Level:
        try:
            config = small(CONFIG_MAPPING[member.model_type], level)
            config.use_cache = False
            model = _build(getattr(transformers, member.name), config)
        except Exception as error:
            faults.append(f"{level.value}: {_words(error)}")
            continue
        built(level, sum(p.numel() for p in model.parameters()))
        try:
            first = _first_that_runs(model, config)
        except NotRun as error:
            faults.append(f"{level.value}: {error}")
            continue
        second = redrawn(first, config)
        runs(model, second)
        return Made(model, first, second, level)
    raise NotRun(" | ".join(faults))


def _build(kind: Any, config: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    with torch.device("meta"):
        size = sum(p.numel() for p in kind(config).parameters())
    if size > LARGEST:
        raise NotRun(f"{size / 1e6:.0f} million parameters")
    torch.manual_seed(0)
    return stir(kind(config))


def _first_that_runs(model: torch.nn.Module, config: Any) -> Inputs:
    faults: list[BaseException] = []
    accepted = inspect.signature(model.forward).parameters
    for inputs in candidates(model, config):
        for _ in range(2):
            try:
                runs(model, inputs)
                return inputs
            except Exception as fault:
                faults.append(fault)
                more = with_image_tokens(inputs, config, fault, accepted)
                if more is None:
                    break
                inputs = more
    told = list(dict.fromkeys(_words(f) for f in faults))
    raise NotRun("; ".join(told[:3]))


def _words(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:160]}"
