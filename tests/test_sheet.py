"""The sheet of heatmaps: one picture per image, class and preset, and readable text."""

from itertools import combinations

import numpy as np
import pytest

from lrp_engine.demo.sheet import ExplainedClass, SheetRow, draw_heatmap_sheet

pytest.importorskip("matplotlib")

PRESETS = ["epsilon", "epsilon_gamma_box", "attnlrp"]


def row(classes: int, presets: list[str]) -> SheetRow:
    """A row with random maps (8, 8) for some classes."""
    random = np.random.default_rng(0)
    explained = [
        ExplainedClass(str(k), {name: random.normal(size=(8, 8)) for name in presets}, "the truth")
        for k in range(classes)
    ]
    return SheetRow(random.uniform(size=(8, 8)), "true 1, said 0 (100 %)", explained)


def test_one_picture_per_image_class_and_preset() -> None:
    figure = draw_heatmap_sheet([row(1, PRESETS), row(2, PRESETS)], PRESETS)
    images, maps, colour_bar = 2, 3 * len(PRESETS), 1
    assert len(figure.axes) == images + maps + colour_bar


@pytest.mark.parametrize("presets", [PRESETS[:1], PRESETS, [*PRESETS, "epsilon_alpha2_beta1"]])
def test_no_text_overlaps_or_leaves_the_sheet(presets: list[str]) -> None:
    figure = draw_heatmap_sheet([row(1, presets), row(2, presets)], presets)
    figure.canvas.draw()
    texts = [*figure.texts, *(axes.title for axes in figure.axes)]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    sheet = figure.bbox
    assert all(sheet.x0 <= box.x0 and box.x1 <= sheet.x1 for box in boxes)
    assert all(sheet.y0 <= box.y0 and box.y1 <= sheet.y1 for box in boxes)


def test_blank_image_and_zero_relevance_can_be_drawn() -> None:
    blank = SheetRow(
        np.zeros((8, 8)), "blank", [ExplainedClass("0", {"epsilon": np.zeros((8, 8))})]
    )
    draw_heatmap_sheet([blank], ["epsilon"]).canvas.draw()
