"""Pictures: what each kind holds, that nothing overlaps, and that wrong requests are refused."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

import lrp_engine as lrp
from lrp_engine.errors import InputError
from tests.show.made import explanation, image_explanation, random

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text

TOKENS = ["[CLS]", "the", "nur", "##se", "gave", "the", "doctor", "$5", "[SEP]", "[PAD]", "[PAD]"]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]  # type: ignore[attr-defined]


def drawn_texts(figure: Figure) -> list[Text]:
    """All texts but the labels of ticks outside of the view, which matplotlib keeps undrawn."""
    found = list(figure.texts)
    for axes in figure.axes:
        found += [*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = axis.get_major_ticks()
            found += [tick.label1 for tick in ticks if low <= tick.get_loc() <= high]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def words(samples: int = 1) -> lrp.Explanation:
    made = explanation(ids=random(samples, len(TOKENS), 4))
    return made.with_labels(words=[TOKENS] * samples)


def table() -> lrp.Explanation:
    names = [f"feature number {i}" for i in range(30)]
    values = [[float(i) for i in range(30)]] * 2
    made = explanation(x=random(2, 30))
    return made.with_labels(axes="feature", feature_names=names, feature_values=values)


def series(length: int = 300, channels: int = 2) -> lrp.Explanation:
    return explanation(x=random(1, channels, length)).with_labels(axes="channel time", rate=100)


def video() -> lrp.Explanation:
    return explanation(x=random(1, 10, 3, 6, 8)).with_labels(axes="frame channel height width")


def several() -> lrp.Explanation:
    made = explanation(image=random(1, 3, 8, 8), ids=random(1, 3, 4))
    return made.with_labels("image", axes="channel height width").with_labels(
        "ids", words=[["one", "two", "three"]]
    )


def pictures() -> Iterator[Any]:
    yield pytest.param(lambda: image_explanation().plot(), id="image")
    yield pytest.param(lambda: image_explanation(1, 80).plot(overlay="alpha"), id="clipped")
    yield pytest.param(lambda: image_explanation(1, 600).plot(contour=True), id="pooled")
    yield pytest.param(lambda: image_explanation(4).plot(sample=slice(None)), id="sheet")
    yield pytest.param(lambda: words().plot(), id="words")
    yield pytest.param(lambda: words(3).plot(sample=[0, 2]), id="texts")
    yield pytest.param(lambda: table().plot(), id="table")
    yield pytest.param(lambda: table().plot(kind="waterfall"), id="waterfall")
    yield pytest.param(lambda: table().plot(sample=[0, 1], top=4), id="tables")
    yield pytest.param(lambda: series().plot(), id="series")
    yield pytest.param(lambda: series(5000, 1).plot(absolute=True), id="audio")
    yield pytest.param(lambda: series(50, 15).plot(), id="channels")
    yield pytest.param(lambda: video().plot(), id="video")
    yield pytest.param(lambda: several().plot(), id="several")
    yield pytest.param(
        lambda: lrp.compare({"a": image_explanation(), "b": image_explanation()}), id="compare"
    )


@pytest.mark.parametrize("draw", list(pictures()))
def test_no_text_overlaps_another_or_is_cut(draw: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw()
        figure.canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn_texts(figure)]
    whole = figure.bbox
    for text, box in boxes:
        assert whole.x0 <= box.x0 <= box.x1 <= whole.x1 + 1, text
        assert whole.y0 <= box.y0 <= box.y1 <= whole.y1, text
    for (one, a), (other, b) in combinations(boxes, 2):
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(overlap) < 2, (one, other)


def test_a_figure_shows_itself_and_pyplot_does_not_know_it() -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    figure: Any = image_explanation().plot()
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert pyplot.get_fignums() == before


def test_title_question_preset_sample_truth_and_ledger() -> None:
    made = image_explanation().with_labels(
        class_names=["cat", "dog"], truth=["cat", "dog"], title="images", unit="logit"
    )
    shown = texts(made.plot(sample=1))
    assert shown[0] == f'why "dog"? logit {float(made.explained[1]):#.3g}'.replace("-", "−")
    assert shown[1] == "epsilon, images, sample 1 of 2, truth dog"
    assert any("2 samples" in text for text in shown)


def test_an_image_lies_below_its_map() -> None:
    made = image_explanation(1, 80)  # larger than what is drawn as an outline
    picture, ghost, _ = (axes.images[0].get_array() for axes in made.plot().axes if axes.images)
    assert np.allclose(picture, made.labels.of("images").images[0].permute(1, 2, 0), atol=1e-6)
    _, bare, _ = (a.images[0] for a in made.plot(overlay="beside").axes if a.images)
    ratio = np.asarray(ghost) / np.asarray(bare.get_array()).clip(1e-9)
    assert 0.82 - 1e-6 <= ratio.min() <= ratio.max() <= 1 + 1e-6


def test_colours_are_the_scales() -> None:
    made = explanation(x=torch.tensor([[[1.0, 0.0], [-1.0, 0.5]]])).with_labels(axes="height width")
    pixels = made.plot().axes[1].images[0].get_array()
    codes = [["#7f0a1f", "#ffffff"], ["#0b3c7d", "#e27c69"]]
    found = [["#" + "".join(f"{round(255 * c):02x}" for c in p) for p in row] for row in pixels]
    assert [found[0], found[1][:1]] == [codes[0], codes[1][:1]]


def test_the_same_image_in_every_make() -> None:
    image = torch.randint(0, 256, (12, 12, 3), dtype=torch.uint8)
    makes = [image, image.numpy(), image.permute(2, 0, 1), image.permute(2, 0, 1) / 255]
    if pillow := pytest.importorskip("PIL.Image"):
        makes.append(pillow.fromarray(image.numpy()))
    shown = [image_explanation().plot(image=make).axes[1].images[0].get_array() for make in makes]
    assert all(np.allclose(picture, shown[0], atol=1e-6) for picture in shown)


def test_stretched_images_are_said() -> None:
    made = explanation(x=random(1, 1, 8, 8)).with_labels(axes="channel height width")
    assert any("stretched" in text for text in texts(made.plot(image=random(8, 8))))


def test_words_are_merged_and_specials_apart() -> None:
    figure = words().plot()
    chips = [patch for patch in figure.findobj(FancyBboxPatch) if patch.get_gid() == "chip"]  # type: ignore[attr-defined]
    shown = texts(figure)
    assert {"nurse", "$5"} <= set(shown)
    assert any(text.startswith("[PAD] ×2") for text in shown)
    assert len(chips) == 9
    assert "nur" in texts(words().plot(pieces=True))


def test_a_special_token_that_swamps_is_hatched_with_its_number() -> None:
    made = explanation(ids=torch.tensor([[9.0, 0.5, -0.25]]))
    made = made.with_labels(words=[["[CLS]", "a", "b"]])
    shown = texts(made.plot())
    assert "[CLS] +9.00" in shown
    assert any("holds 92 % of |R|" in text for text in shown)


def test_a_table_shows_twelve_and_the_rest() -> None:
    shown = texts(table().plot())
    assert "18 others" in shown
    assert sum("feature number" in text for text in shown) == 12


def test_a_waterfall_ends_at_what_was_explained() -> None:
    made = table()
    figure = made.plot(kind="waterfall", sample=1)
    last = figure.axes[1].patches[-1]
    assert float(last.get_width()) == pytest.approx(float(made.explained[1]))
    assert "absorbed" in texts(figure)


def test_long_series_are_an_envelope_and_seconds() -> None:
    figure = series(5000, 1).plot()
    assert "seconds" in texts(figure)
    (strip,) = (axes for axes in figure.axes if axes.images and axes.get_xlim()[1] == 50.0)
    assert strip.images[0].get_array().shape[1] == 1000  # type: ignore[union-attr]


def test_one_scale_for_all() -> None:
    both = {"a": explanation(x=random(1, 4, 4)), "b": explanation(x=3 * random(1, 4, 4))}
    shown = texts(lrp.compare(both, axes="height width", scale="all"))
    end = f"{float(3 * random(1, 4, 4).abs().max()):#.3g}"
    assert shown.count(f"colours end at ±{end}") == 2
    assert "1.00" in shown


def test_axes_of_the_callers() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    ax = figure.subplots()
    assert image_explanation().plot(ax=ax) is figure
    assert ax.get_title(loc="left").startswith("why")
    with pytest.raises(InputError, match="one source of one sample"):
        image_explanation().plot(sample=[0, 1], ax=ax)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"sample": 2}, "there is no sample 2: this explanation has 2"),
    ({"sample": []}, "none of the 2"),
    ({"source": "imags"}, "did you mean 'images'"),
    ({"kind": "imag"}, "did you mean 'image'"),
    ({"kind": "words"}, "no picture of kind 'words'"),
    ({"overlay": "over"}, "overlay='over'"),
    ({"scale": 0}, "above 0"),
    ({"clip": 0}, "per cent"),
    ({"cmap": "jett"}, "no colour map"),
    ({"heat": 1}, "knows no 'heat'"),
    ({"image": "cat.png"}, "not str"),
    ({"image": torch.rand(3, 8, 12)}, "8×12 pixels does not lie over a map of 12×12"),
    ({"axes": "channel"}, "4 axes, but"),
    ({"axes": "batch chanel height width"}, "did you mean 'channel'"),
]


@pytest.mark.parametrize("options, said", REFUSED, ids=[str(said) for _, said in REFUSED])
def test_wrong_requests_are_one_line(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as raised:
        image_explanation().plot(**options)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_no_picture_is_a_guess() -> None:
    with pytest.raises(InputError, match=r'would be a guess: say plot\(axes="batch channel time"'):
        explanation(x=random(1, 3, 40)).plot()


def test_what_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="needs two"):
        lrp.compare([image_explanation()])
    with pytest.raises(InputError, match="have one preset"):
        lrp.compare([image_explanation(), image_explanation()])
    with pytest.raises(InputError, match="cannot be compared entry by entry"):
        lrp.compare({"a": image_explanation(), "b": image_explanation(side=16)})
