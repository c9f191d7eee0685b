"""Tiny models of transformers and scikit-learn, made here: nothing is downloaded."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers")
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors  # noqa: E402
from tokenizers.models import BPE, WordPiece  # noqa: E402

WORDS = """
[PAD] [UNK] [CLS] [SEP] the nurse doctor read a book and it was good bad film ##ly in paris this
example is about sports politics .
""".split()  # noqa: SIM905
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}


@cache
def wordpiece() -> Any:
    """A tokenizer as BERT's: `goodly` is `good` and `##ly`."""
    made = Tokenizer(WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=32,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


@cache
def byte_level() -> Any:
    """A tokenizer as GPT-2's: a space belongs to the word behind it, and there is no padding."""
    letters = [*map(chr, range(97, 123)), "Ġ", "."]
    words = ["the", "nurse", "doctor", "read", "it"]
    merges: list[tuple[str, str]] = []
    for word in words:
        starts = [word[:i] for i in range(1, len(word))]
        merges += [(start, word[len(start)]) for start in starts] + [("Ġ", word)]
    vocabulary = dict.fromkeys([*letters, *(a + b for a, b in merges)])
    made = Tokenizer(BPE({w: i for i, w in enumerate(vocabulary)}, list(dict.fromkeys(merges))))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token=".")


def bert_config(**more: Any) -> Any:
    return transformers.BertConfig(vocab_size=len(WORDS), **SMALL, **more)


def _made(kind: Any, config: Any) -> Any:
    torch.manual_seed(0)
    return kind(config).eval()


def _names(*names: str) -> dict[str, Any]:
    return {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}


@cache
def classifier() -> Any:
    config = bert_config(**_names("negative", "positive", "mixed"))
    return _made(transformers.BertForSequenceClassification, config)


@cache
def entailment() -> Any:
    config = bert_config(**_names("entailment", "neutral", "contradiction"))
    return _made(transformers.BertForSequenceClassification, config)


@cache
def tagger() -> Any:
    config = bert_config(**_names("O", "PERSON", "PLACE"))
    return _made(transformers.BertForTokenClassification, config)


@cache
def encoder() -> Any:
    return _made(transformers.BertModel, bert_config())


@cache
def gpt2() -> Any:
    config = transformers.GPT2Config(
        vocab_size=len(byte_level()),
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_positions=64,
        bos_token_id=0,
        eos_token_id=0,
    )
    return _made(transformers.GPT2LMHeadModel, config)


@cache
def t5() -> Any:
    config = transformers.T5Config(
        vocab_size=len(WORDS),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        pad_token_id=0,
        decoder_start_token_id=0,
    )
    return _made(transformers.T5ForConditionalGeneration, config)


@cache
def vit() -> Any:
    config = transformers.ViTConfig(**SMALL, image_size=16, patch_size=8, **_names("cat", "dog"))
    return _made(transformers.ViTForImageClassification, config)


@cache
def image_processor() -> Any:
    return transformers.ViTImageProcessor(size={"height": 16, "width": 16})


def pipeline(task: str, model: Any, **parts: Any) -> Any:
    return transformers.pipeline(task, model=model, **parts)
