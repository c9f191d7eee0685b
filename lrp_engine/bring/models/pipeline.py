"""Open pipelines of transformers."""

from __future__ import annotations

from typing import Any

from ...errors import CaptureError
from ..hints import Hints
from ..opened import OpenedModel
from .hf_parts import HfParts, open_task

PIPELINES = {
    "text-classification": "text_classifier",
    "sentiment-analysis": "text_classifier",
    "token-classification": "token_classifier",
    "ner": "token_classifier",
    "text-generation": "language_model",
    "text2text-generation": "translator",
    "summarization": "translator",
    "translation": "translator",
    "zero-shot-classification": "zero_shot",
    "feature-extraction": "sentence_similarity",
    "image-classification": "image_classifier",
    "audio-classification": "sound_classifier",
}


def open_model(model: Any, hints: Hints) -> OpenedModel:
    """Open a pipeline by its task. Raises CaptureError for a task that is not read here."""
    task = PIPELINES.get(model.task)
    if task is None:
        raise CaptureError(
            f"a pipeline for {model.task} is not read here; those for {', '.join(PIPELINES)} are."
            " Give an Engine pipeline.model, and tensors"
        )
    processor = model.image_processor or model.feature_extractor or model.processor
    return open_task(
        task, HfParts(model.model, model.tokenizer, processor, model._preprocess_params), hints
    )
