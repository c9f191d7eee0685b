"""Explanations made of numbers, without a model."""

from __future__ import annotations

import torch
from torch import Tensor

from lrp_engine import Explanation
from lrp_engine.plan.provenance import Provenance
from lrp_engine.propagate.ledger import Account, ledger_of
from lrp_engine.show.labels import Labels
from lrp_engine.show.questions import Question

PROVENANCE = Provenance("0", "2", "epsilon", "h", "g", "exported", (), "coverage: all", "float64")


def explanation(absorbed: float = 0.25, **relevance: Tensor) -> Explanation:
    """An explanation with a ledger: so much was absorbed by the bias, for each sample."""
    samples = len(next(iter(relevance.values())))
    arrived = {name: float(r.sum()) for name, r in relevance.items()}
    explained = sum(r.reshape(samples, -1).sum(1) for r in relevance.values()) + absorbed
    assert isinstance(explained, Tensor)
    total, bias = float(explained.sum()), absorbed * samples
    account = Account("n", "op", "rule", "m", total, total - bias, {"bias": bias}, 9.0, 9.0)
    return Explanation(
        explained=explained,
        relevance=relevance,
        coefficient=relevance,
        provenance=PROVENANCE,
        stored_ledger=ledger_of(total, arrived, [account], torch.float64),
        stored_labels=Labels(questions=(Question(((1, 1.0),)),) * samples),
    )


def image_explanation(samples: int = 2, side: int = 12) -> Explanation:
    """One of images, with images between 0 and 1."""
    made = explanation(images=random(samples, 3, side, side))
    pictures = torch.rand(samples, 3, side, side, generator=torch.Generator().manual_seed(1))
    return made.with_labels(axes="batch channel height width", images=pictures)


def random(*shape: int) -> Tensor:
    """The same numbers at every call, of both signs."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
