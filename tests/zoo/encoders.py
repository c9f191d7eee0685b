"""Language models that read both ways, and those that read and then write."""

from __future__ import annotations

from typing import Any

import transformers as tf
from torch import nn

from .entry import VOCABULARY, Entry, Inputs, ids, masked_tokens, numbers, padded

SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "num_labels": 3,
}
_TO_WRITE = 4


def bert(**settings: Any) -> nn.Module:
    return tf.BertForSequenceClassification(tf.BertConfig(**SMALL, **settings))


def roberta(**settings: Any) -> nn.Module:
    return tf.RobertaForSequenceClassification(tf.RobertaConfig(**SMALL, **settings))


def deberta_v2() -> nn.Module:
    return tf.DebertaV2ForSequenceClassification(
        tf.DebertaV2Config(
            **SMALL,
            type_vocab_size=0,
            relative_attention=True,
            position_buckets=8,
            norm_rel_ebd="layer_norm",
            share_att_key=True,
            pos_att_type=["p2c", "c2p"],
            position_biased_input=False,
        )
    )


def modernbert(**settings: Any) -> nn.Module:
    config = tf.ModernBertConfig(
        **SMALL, cls_token_id=1, sep_token_id=2, global_attn_every_n_layers=2, **settings
    )
    return tf.ModernBertForSequenceClassification(config)


def flan_t5(**settings: Any) -> nn.Module:
    config = tf.T5Config(
        vocab_size=VOCABULARY,
        d_model=16,
        d_kv=4,
        d_ff=24,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
        **settings,
    )
    return tf.T5ForConditionalGeneration(config)


def reads_and_writes(batch: int, length: int) -> Inputs:
    """Text to read, some of it padding, and the beginning of what was written."""
    read = {"input_ids": ids(batch, length), "attention_mask": padded(batch, length)}
    return read | {"decoder_input_ids": ids(batch, _TO_WRITE, seed=1)}


def pix2struct() -> nn.Module:
    text = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "d_kv": 4,
        "d_ff": 24,
        "num_layers": 2,
        "num_heads": 4,
        "decoder_start_token_id": 0,
    }
    vision = {
        "hidden_size": 16,
        "patch_embed_hidden_size": 12,
        "d_ff": 24,
        "d_kv": 4,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "seq_len": 16,
    }
    return tf.Pix2StructForConditionalGeneration(
        tf.Pix2StructConfig(text_config=text, vision_config=vision)
    )


def patches_and_text(batch: int, length: int) -> Inputs:
    """Flattened patches (row and column first), and the beginning of what was written."""
    patches = numbers(batch, length, 14).abs()
    patches[..., :2] = patches[..., :2].mul(3).floor().clamp(1, 8)
    return {
        "flattened_patches": patches,
        "attention_mask": padded(batch, length),
        "decoder_input_ids": ids(batch, _TO_WRITE, seed=1),
    }


def _attending(build: Any) -> Entry:
    return Entry(build, masked_tokens, length=True, attention=True)


ENCODERS = {
    "bert": _attending(bert),
    "roberta": _attending(roberta),
    "deberta_v2": Entry(deberta_v2, masked_tokens, length=True),
    "modernbert": _attending(modernbert),
    "flan_t5": Entry(flan_t5, reads_and_writes, length=True, attention=True, position=-1),
    "deplot": Entry(pix2struct, patches_and_text, length=True, position=-1),
}
