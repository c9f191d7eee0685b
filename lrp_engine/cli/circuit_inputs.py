"""MODEL, PROMPTS and tokenizer of `lrp circuit` -> a model and batches of pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import typer
from torch import nn

from ..circuits import CircuitModel, Pairs
from ..circuits.prompts import (
    Prompt,
    Tokenizer,
    by_length,
    read_prompts,
)
from ..errors import LrpError
from .model_argument import load_model, named_object


@dataclass(frozen=True)
class Given:
    """A model, batches of equal length (the largest first), and how to write a token."""

    net: nn.Module
    pairs: Sequence[Pairs]
    word: Callable[[int], str] = str

    def model(self) -> CircuitModel:
        """The captured model, captured once."""
        return self._captured

    def tokens(self) -> list[str]:
        """The first clean prompt of the first batch, as labels of its positions."""
        (ids,) = self.pairs[0].clean.values()
        return [self.word(int(i)) for i in ids[0]]

    @cached_property
    def _captured(self) -> CircuitModel:
        return CircuitModel(self.net, self.pairs[0].clean)


def demo() -> Given:
    """The IOI model that comes along, with 16 prompts of its first template."""
    _require_transformers()
    from ..demo.ioi import ioi_pairs, load_ioi_model, words_of

    return Given(load_ioi_model(), [ioi_pairs()], lambda i: words_of([i])[0])


def given(model: str, prompts: Path | None, tokenizer: str | None, metric: str | None) -> Given:
    """What the user named. Raises BadParameter and InputError."""
    assert prompts is not None
    folder = Path(model).is_dir()
    net = _from_folder(model) if folder else load_model(model).model
    if not isinstance(net, nn.Module):
        raise typer.BadParameter("an exported program has no heads to tell apart; give a module")
    made, word = _tokenizer(tokenizer or (model if folder else None))
    read: list[Prompt] = read_prompts(prompts, made)
    chosen = None if metric is None else named_object(metric)
    return Given(net, by_length(read, chosen), word)


def _tokenizer(name: str | None) -> tuple[Tokenizer | None, Callable[[int], str]]:
    if name is None:
        return None, str
    if Path(name).is_dir():
        _require_transformers()
        from transformers import AutoTokenizer

        found = AutoTokenizer.from_pretrained(name, local_files_only=True)
        return lambda text: found(text)["input_ids"], lambda i: str(found.decode([i]))
    return named_object(name), str


def _from_folder(folder: str) -> nn.Module:
    _require_transformers()
    from transformers import AutoModelForCausalLM

    model: nn.Module = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    return model.eval()


def _require_transformers() -> None:
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise LrpError("this needs transformers: pip install transformers") from error
