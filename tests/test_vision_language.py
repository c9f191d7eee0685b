"""Vision-language models: pixels and tokens in one result, without a setting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp

transformers = pytest.importorskip("transformers")

IMAGE, START, END, VIDEO = 60, 61, 62, 63
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
Made = tuple[nn.Module, dict[str, Tensor]]


def ids_of(*tokens: int) -> Tensor:
    return torch.tensor([tokens])


def pixels() -> Tensor:
    return torch.randn(1, 3, 16, 16)


def llava() -> Made:
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION),
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_index=IMAGE,
        vision_feature_layer=-1,
    )
    inputs = {"input_ids": ids_of(1, *4 * [IMAGE], 5, 6, 7), "pixel_values": pixels()}
    return transformers.LlavaForConditionalGeneration(config), inputs


def paligemma() -> Made:
    """Give what its processor gives: without the kinds of tokens, it masks otherwise if traced."""
    config = transformers.PaliGemmaConfig(
        vision_config=transformers.SiglipVisionConfig(**VISION),
        text_config=transformers.GemmaConfig(**TEXT, head_dim=16),
        image_token_index=IMAGE,
        projection_dim=32,
    )
    ids = ids_of(*4 * [IMAGE], 1, 5, 6, 7)
    inputs = {"input_ids": ids, "pixel_values": pixels()}
    inputs |= {"attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    return transformers.PaliGemmaForConditionalGeneration(config), inputs


def qwen2_vl() -> Made:
    rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 1e4}
    vision: dict[str, Any] = {"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2}
    config = transformers.Qwen2VLConfig(
        text_config=TEXT | {"rope_parameters": rope},
        vision_config=vision | {"mlp_ratio": 2, "patch_size": 4, "spatial_merge_size": 2},
        image_token_id=IMAGE,
        vision_start_token_id=START,
        vision_end_token_id=END,
        video_token_id=VIDEO,
    )
    ids = ids_of(1, START, *4 * [IMAGE], END, 5, 6)
    inputs = {"input_ids": ids, "pixel_values": torch.randn(16, 3 * 2 * 4 * 4)}
    inputs |= {"image_grid_thw": torch.tensor([[1, 4, 4]]), "mm_token_type_ids": (ids == IMAGE) * 1}
    return transformers.Qwen2VLForConditionalGeneration(config), inputs


MODELS = [
    llava,
    pytest.param(paligemma, marks=pytest.mark.slow),
    pytest.param(qwen2_vl, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("made", MODELS)
def test_pixels_and_tokens_are_explained_together(made: Callable[[], Made]) -> None:
    torch.manual_seed(0)
    model, inputs = made()
    engine = lrp.Engine(model.eval().requires_grad_(False), inputs)
    found = engine.explain(inputs, 3, position=-1, ledger=True).check()
    assert found.relevance["pixel_values"].shape == inputs["pixel_values"].shape
    assert found.relevance["pixel_values"].any()
    words = found.per_token("input_ids")
    assert words.shape == inputs["input_ids"].shape
    places = inputs["input_ids"] == IMAGE
    assert not words[places].any(), "an image's places have the image's relevance, at its pixels"
    assert words[~places].any()
