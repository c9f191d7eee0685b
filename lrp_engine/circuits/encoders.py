"""Pass coefficients from a dictionary's features back to what it reads, by the rules of presets.

The encoder is a model of its own: it is captured, proved and planned as any other, so that rules
of one run and of two runs hold for its ops as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..capture.ambient import leave_modes
from ..errors import InputError
from ..graphs.precision import rounding_tolerance
from .circuit_model import CircuitModel
from .downstream import repeat_batch
from .estimators import Term
from .features import Dictionary, PlacedDictionary
from .node_programs import NodePrograms


class EncoderModule(nn.Module):
    """A dictionary's `encode` as a module."""

    def __init__(self, dictionary: Dictionary) -> None:
        super().__init__()
        self.training = False  # that of the dictionary itself, if it has one, is left alone
        self.dictionary = dictionary

    def forward(self, x: Tensor) -> Tensor:
        """Return features, (batch, position, feature), of activations, (batch, position, width)."""
        return self.dictionary.encode(x)


@dataclass(frozen=True)
class EncoderPass:
    """The relevance program of an encoder with the values of its forward pass.

    `read` and `features` are what it reads and returns, `promises` inputs and kept values.
    """

    programs: NodePrograms
    read: Tensor
    features: Tensor
    promises: tuple[object, ...]

    @leave_modes()
    def pass_back(self, c: Tensor) -> Tensor:
        """Return the coefficient at what the encoder reads, for one at its features."""
        if not self.programs.reached:
            return torch.zeros_like(self.read)
        seed = c.to(self.features.dtype)
        with torch.no_grad():
            (back,) = self.programs.program.relevance([seed, *self.promises])
        found: Tensor = back
        return found


def prepare_encoder(model: CircuitModel, p: PlacedDictionary, x: Tensor) -> CircuitModel:
    """Capture an encoder, once per model, for activations of the shape of x.

    Raises:
        InputError: the dictionary is in training mode.
        CaptureError: torch cannot capture it.
        CoverageError: it has an op without a rule.
    """
    key = ("encoder", id(p.dictionary), x.shape[1:], x.dtype)
    # The dictionary is remembered too: its id stays its own.
    _, found = model.remember(
        key,
        lambda: (
            p.dictionary,
            CircuitModel(EncoderModule(p.dictionary), repeat_batch(x[:1], 2).detach()),
        ),
    )
    encoder: CircuitModel = found
    return encoder


@leave_modes()
def run_encoder(
    encoder: CircuitModel, p: PlacedDictionary, term: Term, runs: Sequence[Tensor]
) -> EncoderPass:
    """Run an encoder on what it reads in the run or runs of a term.

    Args:
        encoder: the captured encoder.
        p: the dictionary that it was captured from.
        term: of the estimator; its preset's rules are used.
        runs: the activation that is read: of the term's one run, or of the explained run and its
            reference.

    Raises:
        InputError: the dictionary has changed since it was captured.
    """
    given = [leaf for x in runs for leaf in encoder.leaves(x)]
    programs = encoder.coefficients(term.preset, encoder.embeddings)
    width = 1 + len(programs.nodes)
    with torch.no_grad():
        values = list(programs.program.forward(*given))
        for x, features in zip(runs, values[::width], strict=False):
            _require_same(p, features, p.dictionary.encode(x))
    return EncoderPass(programs, runs[0], values[0], (*given, *values[programs.runs * width :]))


def _require_same(p: PlacedDictionary, found: Tensor, own: Tensor) -> None:
    """Raise InputError if the captured encoder gives other features than the dictionary itself.

    Attributes of an object that is no module are not watched: they may be other tensors now.
    """
    limit = rounding_tolerance(own.dtype) * float(own.abs().max())
    if found.shape != own.shape or not float((found - own).abs().max()) <= limit:
        raise InputError(
            f"the dictionary at {p.site.name} gives other features than when it was captured: make"
            " a new CircuitModel"
        )
