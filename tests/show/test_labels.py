"""Labels: what is read off a run, what users say, and that both are kept."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.errors import InputError
from lrp_engine.show.pieces import pieces_of
from lrp_engine.show.questions import Question
from tests.show.made import explanation, image_explanation, random


class Photographs(nn.Module):
    """Channels last, normalised, then convolved, as in files from TensorFlow."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        scaled = ((x - 0.4) / 0.2).permute(0, 3, 1, 2)
        return self.linear(self.convolution(scaled).relu().mean((2, 3)))


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.linear = nn.Embedding(9, 4), nn.Linear(4, 9)

    def forward(self, ids: Tensor) -> Tensor:
        return self.linear(self.table(ids))


MODELS: list[tuple[nn.Module, Tensor, str]] = [
    (Photographs(), torch.rand(1, 6, 6, 3), "batch height width channel"),
    (
        nn.Sequential(nn.Conv1d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2)),
        torch.rand(1, 2, 6),
        "batch channel time",
    ),
    (nn.Linear(3, 2), torch.rand(1, 3), "batch feature"),
    (nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.rand(1, 3, 4), ""),
]


@pytest.mark.parametrize("model, x, axes", MODELS, ids=[axes or "unknown" for *_, axes in MODELS])
def test_axes_are_read_off_where_they_are_certain(model: nn.Module, x: Tensor, axes: str) -> None:
    labels = lrp.Engine(model.eval(), x).explain(x, 1).labels
    (source,) = labels.sources.values()
    assert " ".join(map(str, source.axes)) == axes
    assert torch.equal(source.data, x) if source.data is not None else False
    assert labels.questions == (Question(((1, 1.0),)),)


def test_tokens_questions_and_inputs_changed_in_place() -> None:
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    run = lrp.Engine(Tokens().eval(), ids).forward(ids)
    contrast = run.explain({3: 1, 5: -1}, position=[0, 2]).labels
    (source,) = contrast.sources.values()
    assert " ".join(map(str, source.axes)) == "batch token feature"
    assert contrast.questions == tuple(Question(((3, 1.0), (5, -1.0)), at) for at in (0, 2))
    assert run.explain(lambda logits: logits.sum((1, 2))).labels.questions[0].about

    x = torch.rand(1, 3)
    changed = lrp.Engine(nn.Linear(3, 2).eval(), x).explain(x, 1)
    x += 1
    (source,) = changed.labels.sources.values()
    assert source.data is None
    assert "changed in place" in changed.labels.notes[0]


@pytest.mark.parametrize(
    "classes, text",
    [
        (((0, 1.0),), 'why "yes"?'),
        (((1, 1.0), (0, -1.0)), 'why "no" rather than "yes"?'),
        (((7, 1.0),), "why class 7?"),
        (((0, 2.0), (1, -0.5)), 'why +2.00 "yes" −0.500 "no"?'),
    ],
)
def test_questions_in_words(classes: Any, text: str) -> None:
    assert Question(classes).text(["yes", "no"]) == text


def test_pieces_of_three_tokenizers() -> None:
    texts = {
        "wordpiece": ["[CLS]", "nur", "##se", "gave", "[SEP]", "[PAD]"],
        "sentencepiece": ["<s>", "▁nur", "se", "▁gave", "</s>", "<pad>"],
        "bytes": ["<|endoftext|>", "nur", "se", "Ġgave", "<0x0A>"],
    }
    found = {name: pieces_of(tokens) for name, tokens in texts.items()}
    for pieces in found.values():
        assert [p.word for p in pieces][:4] == [0, 1, 1, 2]
        assert [p.text for p in pieces][1:4] == ["nur", "se", "gave"]
        assert (pieces[0].special, pieces[0].padding) == (True, False)
    assert [p.padding for p in found["wordpiece"]][-2:] == [False, True]
    assert not found["bytes"][4].special


def test_labels_are_saved_and_pickled(tmp_path: Path) -> None:
    made = image_explanation().with_labels(
        class_names={0: "cat", 2: "dog"}, truth=[0, 1], samples=["a.png", "b.png"], unit="logit"
    )
    loaded = lrp.Explanation.load(made.save(tmp_path / "made.safetensors"))
    for copy in (loaded, pickle.loads(pickle.dumps(made))):
        assert copy.labels == made.labels
        assert torch.equal(copy.labels.of("images").images[1], made.labels.of("images").images[1])
    assert made.labels.class_names == ("cat", "class 1", "dog")


def test_what_does_not_fit_is_refused() -> None:
    made = explanation(x=random(2, 3))
    refused: list[tuple[dict[str, Any], str]] = [
        ({"axes": "batch feature time"}, "2 axes, but"),
        ({"axes": "feature feature"}, "twice"),
        ({"words": [["a", "b", "c"]]}, "one entry per sample is needed, 2, not 1"),
        ({"words": [["a"], ["b"]]}, "one per position"),
        ({"samples": ["a"]}, "2, not 1"),
        ({"class_names": "yes"}, "not the one text"),
        ({"rate": 0}, "above 0"),
        ({"mean": 0.5}, "mean and std"),
        ({"wrods": []}, "did you mean 'words'"),
    ]
    for given, said in refused:
        with pytest.raises(InputError, match=said):
            made.with_labels(**given)
    with pytest.raises(InputError, match="several sources; name one of a, b"):
        explanation(a=random(1, 2), b=random(1, 2)).with_labels(rate=3)


def test_normalised_images_are_shown_as_they_were() -> None:
    original = torch.rand(2, 3, 6, 6)
    made = explanation(x=random(2, 3, 6, 6))
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.2, 0.2]
    shift = [torch.tensor(n).reshape(3, 1, 1) for n in (mean, std)]
    told = made.with_labels(images=(original - shift[0]) / shift[1], mean=mean, std=std)
    assert torch.allclose(told.labels.of("x").images[1], original[1], atol=1e-6)
