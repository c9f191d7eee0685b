"""Models of sound."""

from __future__ import annotations

from typing import Any

import transformers as tf
from torch import nn

from .entry import VOCABULARY, Entry, Inputs, ids, numbers


def wav2vec2(**settings: Any) -> nn.Module:
    config = tf.Wav2Vec2Config(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
        conv_dim=[8, 8],
        conv_stride=[3, 2],
        conv_kernel=[5, 3],
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=12,
        num_labels=3,
        **settings,
    )
    return tf.Wav2Vec2ForSequenceClassification(config)


def waves(batch: int, length: int) -> Inputs:
    return {"input_values": numbers(batch, 10 * length)}


def whisper(**settings: Any) -> nn.Module:
    config = tf.WhisperConfig(
        vocab_size=VOCABULARY,
        num_mel_bins=6,
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        max_source_positions=8,
        max_target_positions=16,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        decoder_start_token_id=1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        **settings,
    )
    return tf.WhisperForConditionalGeneration(config)


def spectrograms(batch: int, length: int) -> Inputs:
    """A spectrogram of the one length that Whisper takes, and the text so far."""
    text = ids(batch, length, seed=1)
    return {"input_features": numbers(batch, 6, 16), "decoder_input_ids": text}


SOUND = {
    "wav2vec2": Entry(wav2vec2, waves, length=True, attention=True),
    "whisper": Entry(whisper, spectrograms, length=True, attention=True, position=-1),
}
