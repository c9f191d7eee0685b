"""The architectures at their published sizes, without weights: name -> (model, inputs).

Sizes are those of the named checkpoints' configuration files; nothing is downloaded. Inputs
are on the CPU, whatever the default device.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import transformers as tf
from torch import Tensor, nn

from tests.zoo.convolutional import EfficientNetV2, vgg16

Inputs = dict[str, Tensor]
Made = tuple[nn.Module, Inputs]

_IMAGE = 224


def _ids(length: int = 128, high: int = 1000) -> Tensor:
    return torch.randint(3, high, (1, length), device="cpu")


def _tokens(length: int = 128) -> Inputs:
    return {"input_ids": _ids(length)}


def _masked(length: int = 128) -> Inputs:
    return {
        "input_ids": _ids(length),
        "attention_mask": torch.ones(1, length, dtype=torch.long, device="cpu"),
    }


def _pixels(size: int = _IMAGE, name: str = "pixel_values") -> Inputs:
    return {name: torch.randn(1, 3, size, size, device="cpu")}


def vgg() -> Made:
    return vgg16(), _pixels(name="image")


def resnet50() -> Made:
    return tf.ResNetForImageClassification(tf.ResNetConfig(num_labels=1000)), _pixels()


def vit_b_16() -> Made:
    return tf.ViTForImageClassification(tf.ViTConfig(num_labels=1000)), _pixels()


def efficientnet_v2_m() -> Made:
    return EfficientNetV2(), _pixels(384, "image")


def siglip2_base() -> Made:
    config = tf.Siglip2Config(
        text_config={"vocab_size": 256000, "projection_size": 768},
        vision_config={"num_patches": 256},
    )
    return tf.Siglip2Model(config), {
        "input_ids": _ids(64),
        "pixel_values": torch.randn(1, 256, 768, device="cpu"),
        "pixel_attention_mask": torch.ones(1, 256, dtype=torch.long, device="cpu"),
        "spatial_shapes": torch.tensor([[16, 16]], device="cpu"),
    }


def wav2vec2_base() -> Made:
    model = tf.Wav2Vec2ForCTC(tf.Wav2Vec2Config())
    return model, {"input_values": torch.randn(1, 16000, device="cpu")}


def whisper_small() -> Made:
    config = tf.WhisperConfig(
        d_model=768,
        encoder_layers=12,
        decoder_layers=12,
        encoder_attention_heads=12,
        decoder_attention_heads=12,
        encoder_ffn_dim=3072,
        decoder_ffn_dim=3072,
    )
    features = {
        "input_features": torch.randn(1, 80, 3000, device="cpu"),
        "decoder_input_ids": _ids(16),
    }
    return tf.WhisperForConditionalGeneration(config), features


def gpt2_small(layers: int = 12) -> Made:
    return tf.GPT2LMHeadModel(tf.GPT2Config(n_layer=layers)), _tokens()


def roberta_large() -> Made:
    config = tf.RobertaConfig(
        vocab_size=50265,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        max_position_embeddings=514,
        type_vocab_size=1,
    )
    return tf.RobertaForSequenceClassification(config), _masked()


def llama_3_2_1b() -> Made:
    config = tf.LlamaConfig(
        vocab_size=128256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=64,
        max_position_embeddings=131072,
        tie_word_embeddings=True,
    )
    return tf.LlamaForCausalLM(config), _tokens()


def gemma3_270m() -> Made:
    config = tf.Gemma3TextConfig(
        vocab_size=262144,
        hidden_size=640,
        intermediate_size=2048,
        num_hidden_layers=18,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=256,
        sliding_window=512,
    )
    return tf.Gemma3ForCausalLM(config), _tokens()


def qwen3_0_6b() -> Made:
    config = tf.Qwen3Config(
        vocab_size=151936,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=True,
    )
    return tf.Qwen3ForCausalLM(config), _tokens()


def flan_t5_large() -> Made:
    config = tf.T5Config(
        d_model=1024,
        d_ff=2816,
        num_layers=24,
        num_decoder_layers=24,
        num_heads=16,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )
    return tf.T5ForConditionalGeneration(config), _masked() | {"decoder_input_ids": _ids(16)}


def deplot() -> Made:
    patches = torch.rand(1, 512, 770, device="cpu")
    patches[..., :2] = 1
    inputs = {"flattened_patches": patches, "attention_mask": torch.ones(1, 512, device="cpu")}
    model = tf.Pix2StructForConditionalGeneration(tf.Pix2StructConfig())
    return model, inputs | {"decoder_input_ids": _ids(16)}


def mamba_130m() -> Made:
    return tf.MambaForCausalLM(tf.MambaConfig(num_hidden_layers=24)), _tokens()


def bert_base() -> Made:
    return tf.BertForSequenceClassification(tf.BertConfig()), _masked()


def deberta_v3_base() -> Made:
    config = tf.DebertaV2Config(
        vocab_size=128100,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        type_vocab_size=0,
        relative_attention=True,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
    )
    return tf.DebertaV2ForSequenceClassification(config), _masked()


def modernbert_base() -> Made:
    return tf.ModernBertForSequenceClassification(tf.ModernBertConfig()), _masked()


def clip_vit_b_32() -> Made:
    return tf.CLIPModel(tf.CLIPConfig()), _masked(16) | _pixels()


def dinov2_base() -> Made:
    return tf.Dinov2ForImageClassification(tf.Dinov2Config(patch_size=14, num_labels=10)), _pixels()


def convnext_tiny() -> Made:
    return tf.ConvNextForImageClassification(tf.ConvNextConfig(num_labels=1000)), _pixels()


def swin_tiny() -> Made:
    return tf.SwinForImageClassification(tf.SwinConfig(num_labels=1000)), _pixels()


def segformer_b0() -> Made:
    return tf.SegformerForSemanticSegmentation(tf.SegformerConfig(num_labels=150)), _pixels(512)


def detr_resnet_50() -> Made:
    backbone = tf.ResNetConfig(out_features=["stage4"])
    config = tf.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        num_labels=91,
        attn_implementation={"": "sdpa", "backbone_config": "eager"},
    )
    return tf.DetrForObjectDetection(config), _pixels(512)


def mamba2_130m() -> Made:
    config = tf.Mamba2Config(
        hidden_size=768, num_hidden_layers=24, num_heads=24, head_dim=64, n_groups=1
    )
    return tf.Mamba2ForCausalLM(config), _tokens(64)


def mixtral_8x7b() -> Made:
    return tf.MixtralForCausalLM(tf.MixtralConfig()), _tokens()


def qwen_moe() -> Made:
    return tf.Qwen2MoeForCausalLM(tf.Qwen2MoeConfig()), _tokens()


def gpt_neox_20b() -> Made:
    return tf.GPTNeoXForCausalLM(tf.GPTNeoXConfig()), _tokens()


# The fifteen of DynamicLRP (arXiv 2512.07010).
FIFTEEN: dict[str, Callable[[], Made]] = {
    "VGG16": vgg,
    "ResNet-50": resnet50,
    "ViT-B/16": vit_b_16,
    "EfficientNetV2-M": efficientnet_v2_m,
    "SigLIP 2 base": siglip2_base,
    "Wav2Vec2 base": wav2vec2_base,
    "Whisper small": whisper_small,
    "GPT-2": gpt2_small,
    "RoBERTa-large": roberta_large,
    "Llama 3.2 1B": llama_3_2_1b,
    "Gemma 3 270M": gemma3_270m,
    "Qwen3 0.6B": qwen3_0_6b,
    "Flan-T5-large": flan_t5_large,
    "DePlot": deplot,
    "Mamba-130m": mamba_130m,
}

MORE: dict[str, Callable[[], Made]] = {
    "BERT base": bert_base,
    "DeBERTa-v3 base": deberta_v3_base,
    "ModernBERT base": modernbert_base,
    "CLIP ViT-B/32": clip_vit_b_32,
    "DINOv2 base": dinov2_base,
    "ConvNeXt tiny": convnext_tiny,
    "Swin tiny": swin_tiny,
    "SegFormer B0": segformer_b0,
    "DETR ResNet-50": detr_resnet_50,
    "Mamba-2 130m": mamba2_130m,
    "Mixtral 8x7B": mixtral_8x7b,
    "Qwen1.5-MoE A2.7B": qwen_moe,
    "GPT-NeoX 20B": gpt_neox_20b,
}


def without_memory(build: Callable[[], Made]) -> Made:
    """A model whose weights have sizes and no content: memory that is never touched costs none."""
    with torch.device("meta"):
        model, inputs = build()
    model = model.to_empty(device="cpu").eval()
    if isinstance(model, tf.PreTrainedModel):
        model.tie_weights()
    return model, inputs
