"""Load the model and the batches of pairs that `lrp circuit` is called with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import typer
from torch import nn
from torch.utils import _pytree as pytree

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
class CircuitInputs:
    """A model, batches of prompts of equal length (the largest first), and a token's text."""

    net: nn.Module
    pairs: Sequence[Pairs]
    word: Callable[[int], str] = str

    def model(self) -> CircuitModel:
        """Return the captured model; it is captured once."""
        return self._captured

    def tokens(self) -> list[str]:
        """Return the first clean prompt of the first batch, as labels of its positions."""
        (ids,) = pytree.tree_leaves(self.pairs[0].clean)
        return [self.word(int(i)) for i in ids[0]]

    @cached_property
    def _captured(self) -> CircuitModel:
        return CircuitModel(self.net, self.pairs[0].clean)


def load_demo() -> CircuitInputs:
    """Load the shipped IOI model with 16 prompts of its first template."""
    _require_transformers()
    from ..demo.ioi import ioi_pairs, load_ioi_model, words_of

    return CircuitInputs(load_ioi_model(), [ioi_pairs()], lambda i: words_of([i])[0])


def load_circuit_inputs(
    model: str, prompts: Path, tokenizer: str | None, metric: str | None
) -> CircuitInputs:
    """Load the model and prompts that the user named. Raises BadParameter and InputError."""
    folder = Path(model).is_dir()
    net = _from_folder(model) if folder else load_model(model).model
    if not isinstance(net, nn.Module):
        raise typer.BadParameter("an exported program has no heads to tell apart; give a module")
    made, word = _tokenizer(tokenizer or (model if folder else None))
    read: list[Prompt] = read_prompts(prompts, made)
    chosen = None if metric is None else named_object(metric)
    return CircuitInputs(net, by_length(read, chosen), word)


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
