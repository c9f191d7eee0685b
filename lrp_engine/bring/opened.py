"""Hold a model that is ready for an Engine, with the way in which data get into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..plan.prepare import ModelSource
from .batch import Batch, Reader
from .class_names import NO_NAMES, ClassNames, Names


class Asked(NamedTuple):
    """A batch and a target in the terms of the model's output."""

    batch: Batch
    target: Any


Ask = Callable[[Batch, Any], Asked]


@dataclass(frozen=True)
class OpenedModel:
    """A model of any kind, as a stage below takes it.

    Args:
        module: What an Engine captures.
        choose_reader: Returns what reads given data for it.
        names: Turns the name of a class, or the text of a token, into its number.
        output: The output to explain; None: the Engine's default.
        unit: Of the explained number: "logit", "cosine"; empty if unknown.
        ask: Changes batch and target where they depend on each other, as in zero-shot tasks.
        example: Made-up data for one sample, where the model says what it reads: they show an
            engine the sizes.
        takes: The hints that it reads itself, whatever its data are (fields of `Hints`).
        needs_position: What to say if a class needs a position that the user did not give.
    """

    module: ModelSource
    choose_reader: Callable[[Any], Reader]
    names: Names = field(default=NO_NAMES)
    output: str | None = None
    unit: str = ""
    ask: Ask | None = None
    example: Any = None
    takes: tuple[str, ...] = ()
    needs_position: str = ""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes in their order; empty if there are none."""
        return self.names.classes if isinstance(self.names, ClassNames) else ()
