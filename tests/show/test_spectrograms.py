"""Spectrograms: which way up, which frequency where, how dark; pictures and pages of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lrp_engine import Explanation
from lrp_engine.errors import InputError
from lrp_engine.show.spectra import darkness, find_ticks, upright
from tests.show.made import explanation, random

OCTAVES = [55.0 * 2 ** (i / 12) for i in range(36)]
LINEAR = [250.0 * i for i in range(33)]


def spectrogram(**said: Any) -> Explanation:
    """Relevance (1, 36, 50), most of it for at 110 Hz and entry 10."""
    relevance = 0.1 * random(1, 36, 50)
    relevance[0, 12, 10] = 5
    held = random(1, 36, 50).abs()
    given = {"axes": "batch frequency time", "frequencies": OCTAVES, "rate": 100.0, "data": held}
    return explanation(x=relevance).with_labels(**given | said)


def test_lowest_frequency_is_below() -> None:
    plane = torch.arange(6.0).reshape(3, 2)
    assert upright(plane, (1.0, 2.0, 3.0))[-1].tolist() == [0, 1]
    assert upright(plane, (3.0, 2.0, 1.0))[-1].tolist() == [4, 5]
    assert upright(plane, ())[-1].tolist() == [0, 1]


def test_ticks_are_octaves_or_round_numbers() -> None:
    assert [t.text for t in find_ticks(36, OCTAVES)] == ["55 Hz", "110 Hz", "220 Hz"]
    assert find_ticks(36, OCTAVES)[1].place == pytest.approx(12.5 / 36)
    assert [t.text for t in find_ticks(33, LINEAR)] == [
        "0 Hz",
        "2 kHz",
        "4 kHz",
        "6 kHz",
        "8 kHz",
    ]
    assert [t.text for t in find_ticks(33)][:2] == ["row 0", "row 10"]
    assert find_ticks(1, [440.0])[0].text == "440 Hz"


def test_magnitudes_are_in_decibels() -> None:
    loud, said = darkness(torch.tensor([[1.0, 0.001], [1e-9, 0.0]]))
    assert loud.tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert "decibels" in said
    even, said = darkness(torch.linspace(-1, 1, 11)[None])
    assert even[0, [0, 5, 10]].tolist() == pytest.approx([0, 0.5, 1])
    assert "decibels" not in said
    assert darkness(torch.zeros(2, 2))[0].isfinite().all()


@pytest.mark.parametrize("said", [{}, {"frequencies": None, "rate": None}, {"data": None}])
def test_pictures_and_pages(said: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    made = spectrogram(**{k: v for k, v in said.items() if v is not None})
    if said:
        made = explanation(**made.relevance).with_labels(
            axes="batch frequency time",
            **({"data": random(1, 36, 50)} if "rate" in said else {"frequencies": OCTAVES}),
        )
    figure = made.plot()
    figure.savefig(tmp_path / "x.png", dpi=50)
    planes = 1 if said.get("data", 0) is None else 2
    assert len([axes for axes in figure.axes if axes.images]) == planes + 2 + 1  # sums, bar
    page = made.to_html()
    assert page.count('class="spectrum"') == planes
    assert ("110 Hz" in page) == ("rate" not in said)


def test_entries_are_named() -> None:
    assert "110 Hz, 0.1 s" in repr(spectrogram())


def test_kind_is_enough() -> None:
    pytest.importorskip("matplotlib")
    explanation(x=random(1, 4, 5)).plot(kind="spectrogram")
    with pytest.raises(InputError, match="batch frequency time"):
        explanation(x=random(1, 4, 5)).plot()


def test_labels_are_kept_in_files(tmp_path: Path) -> None:
    loaded = Explanation.load(spectrogram().save(tmp_path / "x.safetensors"))
    assert loaded.labels.of("x").frequencies == tuple(OCTAVES)


@pytest.mark.parametrize(
    "said, message",
    [
        ({"frequencies": OCTAVES[1:]}, "35 frequencies were given for 36 rows"),
        ({"frequencies": [1.0] * 36}, "rise"),
        ({"axes": "batch channel time"}, "frequencies need an axis"),
        ({"data": torch.zeros(1, 2)}, "not that of the source"),
    ],
)
def test_labels_must_fit(said: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        spectrogram(**said)
