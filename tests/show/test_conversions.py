"""Explanations as batches, arrays and tables."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest
import torch
from torch import nn

import lrp_engine as lrp
from lrp_engine.errors import InputError
from lrp_engine.show.agreement import pearson, rank_correlation, ranks
from tests.show.made import explanation, image_explanation, random


def test_a_batch_has_samples() -> None:
    made = image_explanation(3).with_labels(samples=["a", "b", "c"])
    assert len(made) == 3
    assert [one.labels.samples for one in made] == [("a",), ("b",), ("c",)]
    two = made[[2, 0]]
    assert two.labels.samples == ("c", "a")
    assert torch.equal(two.relevance["images"], made.relevance["images"][[2, 0]])
    assert torch.equal(two.explained, made.explained[[2, 0]])
    assert torch.equal(made[-1].coefficient["images"], made.coefficient["images"][2:])
    assert torch.equal(made[1].labels.of("images").images[0], made.labels.of("images").images[1])


def test_the_ledger_of_a_batch_is_not_that_of_a_sample() -> None:
    made = image_explanation(3)
    assert made[0:3].ledger is made.ledger
    for one in (made[1], pickle.loads(pickle.dumps(made[1]))):
        with pytest.raises(InputError, match="sums over the 3 samples"):
            _ = one.ledger
    assert any("no ledger" in text.get_text() for ax in made[1].plot().axes for text in ax.texts)


def test_what_has_no_samples_is_refused() -> None:
    with pytest.raises(InputError, match="there is no sample 3"):
        _ = image_explanation(3)[3]
    total = lrp.explain(lambda x: (x * x).sum(), torch.ones(3, 2), dynamic=False)
    with pytest.raises(InputError, match="samples cannot be told apart"):
        _ = total[0]


def test_to_a_device_and_back() -> None:
    x = torch.rand(2, 3)
    made = lrp.explain(nn.Linear(3, 2).eval(), x, 1)
    moved = made.to("meta")
    assert moved.relevance["input"].device.type == moved.output.device.type == "meta"
    assert torch.equal(made.cpu().output, made.output)


def test_to_numpy_knows_no_bfloat16() -> None:
    made = explanation(x=random(2, 3).bfloat16(), absorbed=0.0)
    assert made.to_numpy()["x"].dtype == np.float32
    assert explanation(x=random(2, 3)).to_numpy()["x"].dtype == np.float64


def test_to_xarray_has_named_axes() -> None:
    pytest.importorskip("xarray")
    made = image_explanation().with_labels(truth=["cat", "dog"])
    data = made.to_xarray()
    assert dict(data.sizes) == {"batch": 2, "channel": 3, "height": 12, "width": 12}
    assert float(data["images"].sum()) == pytest.approx(float(made.relevance["images"].sum()))
    assert list(data["truth"].values) == ["cat", "dog"]
    both = explanation(a=random(2, 3), b=random(2, 5)).to_xarray()
    assert dict(both.sizes) == {"batch": 2, "a.axis_1": 3, "b.axis_1": 5}


def test_to_pandas_has_a_row_per_sample_and_entry() -> None:
    pytest.importorskip("pandas")
    table = explanation(x=random(2, 3)).with_labels(axes="feature", feature_names=["a", "b", "c"])
    frame = table.to_pandas()
    assert list(frame.columns) == ["sample", "feature", "relevance"]
    assert list(frame.feature) == ["a", "b", "c"] * 2
    words = explanation(ids=random(1, 2, 4)).with_labels(words=[["one", "two"]], samples=["line 1"])
    frame = words.to_pandas()
    assert list(frame.text) == ["one", "two"]
    assert list(frame["sample"]) == ["line 1"] * 2
    assert np.allclose(frame.relevance, words.relevance["ids"][0].sum(-1))
    series = explanation(x=random(1, 2, 5)).with_labels(axes="channel time").to_pandas()
    assert len(series) == 10
    assert list(series.columns) == ["sample", "channel", "time", "relevance"]


@pytest.mark.parametrize("call, library", [("to_pandas", "pandas"), ("to_xarray", "xarray")])
def test_a_missing_library_is_named(
    call: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=f"needs {library}: pip install {library}"):
        getattr(explanation(x=random(2, 3)), call)()


def test_agreement() -> None:
    a = random(50)
    assert pearson(a, 2 * a + 1) == pytest.approx(1)
    assert rank_correlation(a, a**3) == pytest.approx(1)
    assert ranks(torch.tensor([3.0, 1.0, 3.0])).tolist() == [1.5, 0.0, 1.5]
    assert np.isnan(pearson(a, torch.ones(50)))
