"""A few small pictures, compared with stored ones.

`python -m tests.show.test_golden` draws them anew: look at them before you commit them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lrp_engine as lrp
from tests.show.made import explanation, random

FOLDER = Path(__file__).parent / "golden"
_LARGEST = 2 / 255  # root mean square of the difference, of 1


def _disc() -> lrp.Explanation:
    """Relevance in a disc, on a grey image of it."""
    across = torch.linspace(-1, 1, 10)
    disc = (1.4 - (across[:, None] ** 2 + across**2)).clamp(0, 1)
    made = explanation(x=(disc * random(1, 1, 10, 10)).double())
    return made.with_labels(axes="channel height width", images=disc[None, None])


def _words() -> Any:
    tokens = "[CLS] the nur ##se gave a book [SEP] [PAD] [PAD]".split()  # noqa: SIM905
    return explanation(ids=random(1, len(tokens))).with_labels(words=[tokens]).plot()


def _table() -> Any:
    names = ["age", "income", "debt", "height"]
    made = explanation(absorbed=0.5, x=random(1, 4)).with_labels(
        axes="feature", feature_names=names
    )
    return made.plot(kind="waterfall")


PICTURES: dict[str, Callable[[], Any]] = {
    "image": lambda: _disc().plot(),
    "words": _words,
    "table": _table,
    "series": lambda: explanation(x=random(1, 2, 60)).plot(axes="channel time"),
    "compare": lambda: lrp.compare({"a": _disc(), "b": _disc()}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_as_stored(name: str, tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    matplotlib = pytest.importorskip("matplotlib")
    if matplotlib.__version__ != "3.11.2":
        pytest.skip("other versions draw letters otherwise")
    PICTURES[name]().savefig(tmp_path / "now.png", dpi=100)
    now, stored = (
        image.imread(path)[..., :3] for path in (tmp_path / "now.png", FOLDER / f"{name}.png")
    )
    assert now.shape == stored.shape
    assert float(np.sqrt(np.mean((now - stored) ** 2))) <= _LARGEST


def _store(name: str) -> None:
    """Write one picture in few colours: a quarter of the bytes, and well within the tolerance."""
    from PIL import Image

    path = FOLDER / f"{name}.png"
    PICTURES[name]().savefig(path, dpi=100)
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in PICTURES:
        _store(each)
