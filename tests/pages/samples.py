"""Contents of pages of every kind, from plain tensors: nothing is captured."""

from __future__ import annotations

import torch
from torch import Tensor

from lrp_engine.markup import Overview
from lrp_engine.show.axes import parse_axes
from lrp_engine.show.balance import Balance, Part, PartKind
from lrp_engine.show.labels import Labels, SourceLabels
from lrp_engine.show.page import Content, Verdict
from lrp_engine.show.pieces import pieces_of
from lrp_engine.show.questions import Question

HARM = '<script>alert("x")</script>'
TOKENS = ["[CLS]", "the", "nur", "##se", "gave", "a", HARM, "שלום", "[SEP]", "[PAD]", "[PAD]"]


def pattern(*shape: int) -> Tensor:
    """Return numbers of both signs that are the same on every machine."""
    count = torch.arange(float(torch.tensor(shape).prod()))
    return ((count * 7) % 13 - 5).reshape(shape) / 8


def content(
    source: SourceLabels | None, relevance: Tensor, *, harm: str = "", balances: bool = True
) -> Content:
    """Return a content with one source "x"; `harm` is put into every text of a user's."""
    samples = len(relevance)
    labels = Labels(
        sources={} if source is None else {"x": source},
        class_names=(f"no{harm}", f"yes{harm}", "maybe"),
        questions=(Question(((1, 1.0),)),) * samples,
        samples=tuple(f"file {i}{harm}.png" for i in range(samples)),
        truth=(f"yes{harm}",) * samples,
        title=f"data{harm}",
        unit="logit",
        notes=(f"a note of the labels{harm}",),
    )
    parts = [Part(PartKind.ABSORBED, f"bias{harm}", 0.5), Part(PartKind.ARRIVED, "x", 1.5)]
    parts += [] if balances else [Part(PartKind.RESIDUAL, "residual", 0.25)]
    return Content(
        explained=torch.full((samples,), 2.0),
        relevance={"x": relevance},
        labels=labels,
        preset=f"epsilon{harm}",
        scores=torch.tensor([[0.5, 2.0, -1.0]]).repeat(samples, 1),
        balance=Balance(2.0, tuple(parts), balances),
        accounts=Overview("Ops that absorbed most", (), ("op", "absorbed#"), [(f"o{harm}", "1")]),
        verdict=Verdict(balances, f"what check() said{harm}"),
        coverage=f"coverage: all{harm}",
        notes=(f"a note{harm}",),
        provenance=(("torch", f"2.13{harm}"),),
        citations=(f"Bach et al. (2015){harm}",),
    )


def image(samples: int = 1, size: int = 12, harm: str = "") -> Content:
    """Return images with maps."""
    axes = parse_axes("batch channel height width")
    relevance = pattern(samples, 3, size, size)
    known = SourceLabels(axes=axes, images=tuple(relevance.abs().clamp(0, 1)))
    return content(known, relevance, harm=harm)


def words(harm: str = "") -> Content:
    """Return words of two pieces, special tokens, padding."""
    known = SourceLabels(
        axes=parse_axes("batch token feature"), words=(pieces_of([t + harm for t in TOKENS]),)
    )
    return content(known, pattern(1, len(TOKENS), 4), harm=harm)


def table(harm: str = "") -> Content:
    """Return a table of 16 features."""
    known = SourceLabels(
        axes=parse_axes("batch feature"),
        feature_names=tuple(f"feature {i}{harm}" for i in range(16)),
        feature_values=(tuple(f"{i}{harm}" for i in range(16)),),
    )
    return content(known, pattern(1, 16), harm=harm)


def series(count: int = 50, rate: float | None = 10.0) -> Content:
    """Return a series of three channels."""
    relevance = pattern(1, 3, count)
    known = SourceLabels(axes=parse_axes("batch channel time"), data=relevance.cumsum(2), rate=rate)
    return content(known, relevance)


def video() -> Content:
    """Return ten frames."""
    relevance = pattern(1, 10, 1, 6, 6)
    axes = parse_axes("batch frame channel height width")
    return content(SourceLabels(axes=axes, data=relevance), relevance)


def unknown() -> Content:
    """Return a source whose axes nobody knows."""
    return content(None, pattern(2, 3, 4), balances=False)


KINDS = {
    "image": image,
    "words": words,
    "table": table,
    "series": series,
    "video": video,
    "unknown": unknown,
}
