"""Models of images, and of images with text."""

from __future__ import annotations

from typing import Any

import torch
import transformers as tf
from torch import Tensor, nn

from .entry import VOCABULARY, Entry, Inputs, at, ids, numbers, padded, pixels

SMALL = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_labels": 3,
}


def vit(**settings: Any) -> nn.Module:
    config = tf.ViTConfig(**SMALL, image_size=16, patch_size=8, **settings)
    return tf.ViTForImageClassification(config)


def dinov2(**settings: Any) -> nn.Module:
    small = {k: v for k, v in SMALL.items() if k != "intermediate_size"}
    config = tf.Dinov2Config(
        **small, image_size=16, patch_size=8, mlp_ratio=2, use_swiglu_ffn=True, **settings
    )
    return tf.Dinov2ForImageClassification(config)


def resnet() -> nn.Module:
    config = tf.ResNetConfig(
        embedding_size=4,
        hidden_sizes=[8, 12],
        depths=[1, 2],
        layer_type="bottleneck",
        num_labels=3,
    )
    return tf.ResNetForImageClassification(config)


def convnext() -> nn.Module:
    config = tf.ConvNextConfig(
        num_stages=2, hidden_sizes=[8, 12], depths=[1, 2], num_labels=3, patch_size=2
    )
    return tf.ConvNextForImageClassification(config)


def swin(**settings: Any) -> nn.Module:
    config = tf.SwinConfig(
        image_size=16,
        patch_size=2,
        embed_dim=8,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
        num_labels=3,
        **settings,
    )
    return tf.SwinForImageClassification(config)


def segformer() -> nn.Module:
    config = tf.SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 8],
        patch_sizes=[3, 3],
        strides=[2, 2],
        num_attention_heads=[2, 4],
        mlp_ratios=[2, 2],
        decoder_hidden_size=12,
        num_labels=3,
    )
    return tf.SegformerForSemanticSegmentation(config)


def detr(attn_implementation: str = "sdpa") -> nn.Module:
    backbone = tf.ResNetConfig(
        embedding_size=4, hidden_sizes=[8, 12], depths=[1, 1], out_features=["stage2"]
    )
    config = tf.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        num_queries=5,
        num_labels=3,
        attn_implementation={"": attn_implementation, "backbone_config": "eager"},
    )
    return tf.DetrForObjectDetection(config)


def siglip2(**settings: Any) -> nn.Module:
    vision = {k: v for k, v in SMALL.items() if k != "num_labels"} | {
        "num_patches": 16,
        "patch_size": 2,
    }
    text = {k: v for k, v in SMALL.items() if k != "num_labels"} | {
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 32,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "projection_size": 16,
    }
    return tf.Siglip2Model(tf.Siglip2Config(text_config=text, vision_config=vision, **settings))


def patches_and_captions(batch: int, length: int) -> Inputs:
    """Patches of images of different shapes, padded to one number, and text."""
    shapes = torch.tensor([[3, 4], [4, 3], [2, 6], [4, 3], [3, 4]])[:batch]
    return {
        "input_ids": ids(batch, length),
        "pixel_values": numbers(batch, 14, 12, seed=2),
        "pixel_attention_mask": (torch.arange(14) < 12).long().repeat(batch, 1),
        "spatial_shapes": shapes,
    }


def clip(**settings: Any) -> nn.Module:
    small = {k: v for k, v in SMALL.items() if k != "num_labels"} | {"projection_dim": 12}
    text = small | {
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 32,
        "bos_token_id": 1,
        "eos_token_id": VOCABULARY - 1,
        "pad_token_id": 0,
    }
    vision = small | {"image_size": 16, "patch_size": 8}
    config = tf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12, **settings)
    return tf.CLIPModel(config)


def captions(batch: int, length: int) -> Inputs:
    """Images and text that describes them."""
    text = {"input_ids": ids(batch, length), "attention_mask": padded(batch, length)}
    return text | pixels(batch, length)


def own_pair(logits: Tensor) -> Tensor:
    """Every image with its own caption; the others are of other samples."""
    return logits.diagonal().sum()


VISION = {
    "vit": Entry(vit, pixels, attention=True),
    "dinov2": Entry(dinov2, pixels, attention=True),
    "resnet": Entry(resnet, pixels),
    "convnext": Entry(convnext, pixels),
    "swin": Entry(swin, pixels, attention=True),
    "segformer": Entry(segformer, pixels, target=at(1, 3, 2)),
    "detr": Entry(detr, pixels, attention=True, position=2),
    # Position embeddings are resized image by image, in a Python loop: one batch size per capture.
    "siglip2": Entry(
        siglip2,
        patches_and_captions,
        batch=False,
        attention=True,
        output="logits_per_image",
        target=own_pair,
    ),
    "clip": Entry(clip, captions, attention=True, output="logits_per_image", target=own_pair),
}
