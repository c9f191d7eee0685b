"""Hold a model of transformers with its tokenizer or processor, and find out its task."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ...errors import CaptureError, InputError
from ..class_names import ClassNames, class_names
from ..data.tokens import TextEncoder
from ..hints import Hints
from ..opened import OpenedModel

# What a class's name ends in, and the file here that opens such a model.
TASKS = {
    "ForSequenceClassification": "text_classifier",
    "ForTokenClassification": "token_classifier",
    "ForCausalLM": "language_model",
    "LMHeadModel": "language_model",
    "ForConditionalGeneration": "translator",
    "ForImageClassification": "image_classifier",
    "ForAudioClassification": "sound_classifier",
    "Model": "sentence_similarity",
}
AUTO_CLASSES = {
    "text_classifier": "AutoModelForSequenceClassification",
    "token_classifier": "AutoModelForTokenClassification",
    "language_model": "AutoModelForCausalLM",
    "translator": "AutoModelForSeq2SeqLM",
    "image_classifier": "AutoModelForImageClassification",
    "sound_classifier": "AutoModelForAudioClassification",
    "sentence_similarity": "AutoModel",
}
_SOUND_INPUTS = ("input_values", "input_features")


@dataclass(frozen=True)
class HfParts:
    """A model of transformers and what reads its data; None where there is none.

    `settings` are those of a pipeline's preprocessing, `pooling` that of a folder of sentence
    vectors.
    """

    model: nn.Module
    tokenizer: Any = None
    processor: Any = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    pooling: str | None = None

    def encoder(self, hints: Hints) -> TextEncoder:
        """Return the tokenizer. Raises InputError if there is none."""
        tokenizer = hints.tokenizer or self.tokenizer
        if tokenizer is None:
            raise InputError("the model reads token ids: give its tokenizer, as tokenizer=...")
        return TextEncoder(tokenizer, hints.truncate or bool(self.settings.get("truncation")))

    def class_names(self, hints: Hints) -> ClassNames:
        """Return the names that were given, or those of the model's configuration."""
        own: Any = getattr(getattr(self.model, "config", None), "id2label", None)
        return class_names(hints.classes or own)

    @property
    def input_name(self) -> str:
        """The name of the model's first argument."""
        return str(getattr(self.model, "main_input_name", "input_ids"))


def task_of(class_name: str, input_name: str = "") -> str:
    """Return the file that opens models of a class.

    Raises:
        CaptureError: it is for another task.

    Example:
        >>> from lrp_engine.bring.models.hf_parts import task_of
        >>> task_of("BertForSequenceClassification")
        'text_classifier'
    """
    for ending, task in TASKS.items():
        if class_name.endswith(ending) and (ending != "Model" or "For" not in class_name):
            sound = task == "text_classifier" and input_name in _SOUND_INPUTS
            return "sound_classifier" if sound else task
    raise CaptureError(
        f"{class_name}: its task has no reader here. Give an Engine the model, and tensors; texts,"
        f" images and sound are read for {', '.join(name for name in TASKS if name != 'Model')}"
    )


def open_task(task: str, parts: HfParts, hints: Hints) -> OpenedModel:
    """Open a model for a task of `TASKS`."""
    module = importlib.import_module(f".{task}", __package__)
    found: OpenedModel = module.open_parts(parts, hints)
    return found
