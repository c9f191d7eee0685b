"""Say what an exhibit is: a model, what is asked of it, and how its explanation is tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..plan.prepare import ModelSource
from ..results.explanation import Explanation
from ..show.figure import Look

MODELS: Path = Path(__file__).with_name("models")
DATA: Path = Path(__file__).with_name("data")


@dataclass(frozen=True)
class Credit:
    """Say whose work is shown.

    Args:
        work: What it is.
        by: Who made it.
        licence: Its name, or why it has none.
        texts: Files of this package with the licence's text and notices.
        link: Where it comes from.
    """

    work: str
    by: str
    licence: str
    texts: tuple[Path, ...] = ()
    link: str = ""

    def line(self) -> str:
        """Return all that in one line."""
        said = f"{self.work}: {self.by}; {self.licence}"
        return f"{said} ({self.link})" if self.link else said


@dataclass(frozen=True)
class Deletion:
    """Say how the explanation is tested: the entries of most relevance are taken away.

    Args:
        what: The entries, in words: "cells of the spectrogram".
        shares: Of the entries that are taken away.
        score: Takes the output and the target's coefficient; returns the number that should fall.
        rival: Another preset to compare with.
        named: What the score is: "logit".
        loudest: Whether to compare with the entries in which the source held most, too.
    """

    what: str
    shares: tuple[float, ...]
    score: Callable[[Tensor, Tensor], float]
    rival: str
    named: str = "logit"
    loudest: bool = False


def to_floor(held: Tensor, mask: Tensor) -> Tensor:
    """Return what a source held, with its least value where the mask is."""
    return torch.where(mask, held.min(), held)


def as_it_is(relevance: Tensor) -> Tensor:
    """Return relevance itself: every entry of the source can be taken away alone."""
    return relevance


@dataclass(frozen=True)
class Case:
    """One question about one input.

    Args:
        name: What is explained, for tables: "A3 of the chord".
        inputs: Of the model.
        ask: Takes the output; returns its coefficient in the explained number.
        tell: Takes the explanation and what the source held; returns it with labels, and in the
            axes that are to be shown.
        entries: Sums relevance of the source to one number per entry that can be taken away.
        blank: Takes what the source held and a mask of entries; returns it without them.
    """

    name: str
    inputs: Any
    ask: Callable[[Tensor], Tensor]
    tell: Callable[[Explanation, Tensor], Explanation]
    entries: Callable[[Tensor], Tensor] = as_it_is
    blank: Callable[[Tensor, Tensor], Tensor] = to_floor


@dataclass(frozen=True)
class Exhibit:
    """A pretrained model, and what it is asked.

    Args:
        name: For the command line.
        title: A question that the exhibit answers.
        about: What to look at, in a few sentences.
        model: Makes the model.
        output: The model's value that is explained.
        source: The model's value that relevance is wanted of.
        preset: The rules.
        cases: Makes the cases, of the user's files if there are any.
        deletion: The test.
        credits: Whose work is shown.
        needs: Packages by the names under which they are imported, and how each is installed.
        look: How its pictures are to look.
    """

    name: str
    title: str
    about: str
    model: Callable[[], ModelSource]
    output: str
    source: str
    preset: str
    cases: Callable[[Sequence[Path]], Sequence[Case]]
    deletion: Deletion
    credits: tuple[Credit, ...]
    needs: Mapping[str, str] = field(default_factory=dict)
    look: Look = field(default_factory=Look)

    def missing(self) -> str:
        """Say what has to be installed first; "" if nothing."""
        absent = [install for package, install in self.needs.items() if find_spec(package) is None]
        return f"it needs what is not installed: {', '.join(absent)}" if absent else ""
