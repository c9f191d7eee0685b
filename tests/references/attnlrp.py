"""AttnLRP (Achtibat et al. 2024, arXiv 2402.05602) in relevance form, without any autograd.

``explain(model, inputs, target)`` runs its own forward pass with the weights of ``model``, then
carries relevance from the chosen logit back to the source.  Run ``python -m
tests.references.attnlrp`` for a self-check against the logits of tiny random models.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import (
    BertForSequenceClassification,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    PreTrainedModel,
    ViTForImageClassification,
)

from . import models
from .decoders import gpt2, llama
from .encoders import bert, vit
from .explanation import Explanation

__all__ = ["Explanation", "bert", "explain", "gpt2", "llama", "vit"]

Reference = Callable[[PreTrainedModel, dict[str, Tensor], int | Tensor], Explanation]

REFERENCES: dict[type[PreTrainedModel], Reference] = {
    GPT2LMHeadModel: gpt2,
    LlamaForCausalLM: llama,
    BertForSequenceClassification: bert,
    ViTForImageClassification: vit,
}


def explain(model: PreTrainedModel, inputs: dict[str, Tensor], target: int | Tensor) -> Explanation:
    """Relevance at the source of ``model`` for the logit of class ``target``.

    ``target`` is one class for the whole batch or a tensor with one class per sample.
    """
    return REFERENCES[type(model)](model, inputs, target)


def main() -> None:
    """Print, for every model, how far its logits are from the reference and where R goes."""
    for build in (models.gpt2, models.llama, models.bert, models.vit):
        model, inputs = build()
        found = explain(model, inputs, 1)
        with torch.no_grad():
            error = (found.logits - model(**inputs).logits).abs().max().item()
        print(f"{type(model).__name__}: logits differ by at most {error:.1e}")
        for name, total in found.totals:
            print(f"    {name:<12} {total.tolist()}")


if __name__ == "__main__":
    main()
