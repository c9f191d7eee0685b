"""Tiny random models of the four reference architectures, with inputs to match."""

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    ViTConfig,
    ViTForImageClassification,
)

VOCABULARY = 29


class FullDouble(TorchFunctionMode):
    """Keep float64 tensors in float64 where a model asks for float32.

    Llama's RMSNorm and the eager softmax of Llama and ViT compute in float32 whatever the dtype of
    the model.  Inside ``with FullDouble():`` they do not, in the model and in the reference alike,
    so two float64 computations can be compared far below float32 precision.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if args and isinstance(args[0], Tensor) and args[0].dtype == torch.float64:
            if func is Tensor.float:
                return args[0]
            args = tuple(torch.float64 if arg is torch.float32 else arg for arg in args)
            if kwargs.get("dtype") is torch.float32:
                kwargs["dtype"] = torch.float64
        return func(*args, **kwargs)


def gpt2(
    seed: int = 0,
    attn_implementation: str = "eager",
    dtype: torch.dtype = torch.float64,
    batch: int = 2,
    length: int = 6,
) -> tuple[GPT2LMHeadModel, dict[str, Tensor]]:
    """GPT-2 with tied input and output embeddings."""
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=16,
        n_embd=16,
        n_layer=2,
        n_head=4,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation=attn_implementation,
    )
    return build(GPT2LMHeadModel, config, seed, dtype), tokens(seed, batch, length)


def llama(
    seed: int = 0,
    attn_implementation: str = "eager",
    dtype: torch.dtype = torch.float64,
    batch: int = 2,
    length: int = 6,
) -> tuple[LlamaForCausalLM, dict[str, Tensor]]:
    """Llama with two query heads to every key/value head."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=16,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation=attn_implementation,
    )
    return build(LlamaForCausalLM, config, seed, dtype), tokens(seed, batch, length)


def bert(
    seed: int = 0,
    attn_implementation: str = "eager",
    dtype: torch.dtype = torch.float64,
    batch: int = 2,
    length: int = 6,
) -> tuple[BertForSequenceClassification, dict[str, Tensor]]:
    """BERT with three classes; two segments, and padding at the end of all samples but one."""
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=16,
        num_labels=3,
        attn_implementation=attn_implementation,
    )
    inputs = tokens(seed, batch, length)
    kinds, mask = torch.zeros_like(inputs["input_ids"]), torch.ones_like(inputs["input_ids"])
    kinds[:, length // 2 :] = 1
    mask[1:, -2:] = 0
    inputs |= {"token_type_ids": kinds, "attention_mask": mask}
    return build(BertForSequenceClassification, config, seed, dtype), inputs


def vit(
    seed: int = 0,
    attn_implementation: str = "eager",
    dtype: torch.dtype = torch.float64,
    batch: int = 2,
) -> tuple[ViTForImageClassification, dict[str, Tensor]]:
    """ViT with three classes on six-patch images that are not square."""
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
        image_size=(8, 12),
        patch_size=4,
        num_channels=3,
        num_labels=3,
        attn_implementation=attn_implementation,
    )
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(batch, 3, 8, 12, generator=generator)
    return build(ViTForImageClassification, config, seed, dtype), {"pixel_values": pixels.to(dtype)}


def tokens(seed: int, batch: int, length: int) -> dict[str, Tensor]:
    """Random token ids."""
    generator = torch.Generator().manual_seed(seed)
    return {"input_ids": torch.randint(1, VOCABULARY, (batch, length), generator=generator)}


def build(
    kind: type[PreTrainedModel], config: PreTrainedConfig, seed: int, dtype: torch.dtype
) -> PreTrainedModel:
    """An evaluation-mode model with weights drawn so that no step is close to trivial."""
    with torch.random.fork_rng(devices=[]):
        model = kind(config).eval()
    generator = torch.Generator().manual_seed(seed)
    # Values are drawn in float32 so that casting a model between dtypes never changes them.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm_weight = parameter.dim() == 1 and name.endswith("weight")
            parameter.copy_(1 + 0.2 * noise if is_norm_weight else 0.3 * noise)
    return model.to(dtype)
