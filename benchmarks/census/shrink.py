"""Make a small config of any config class: a table of size fields, and rows for what differs."""

from __future__ import annotations

import dataclasses
import inspect
import re
from enum import Enum
from typing import Any

from .overrides import CONFIGS

VOCABULARY = 512


class Level(Enum):
    """How far a config is made smaller, most first: the widths may not fit each other."""

    TINY = "tiny"
    SHALLOW = "shallow: the published widths"
    PUBLISHED = "as published"


# The first row whose pattern fits the whole name gives the value; `min` keeps what is smaller.
DEPTHS: tuple[tuple[str, int], ...] = (
    (r"(num_|n_)?(.*_)?(hidden_)?layers?|n_layer|depth|.*_depth|num_blocks|num_residual_layers", 1),
    (r"vocab_size|.*_vocab_size|vocab_size_.*", VOCABULARY),
    (r"max_position_embeddings|n_positions|n_ctx|max_source_positions|max_target_positions", 128),
)
WIDTHS: tuple[tuple[str, int], ...] = (
    (r"(n_|num_)?(routed_|local_)?experts|moe_num_experts", 4),
    (r"num_experts_per_tok|moe_topk|top_k_experts|moe_top_k", 2),
    (r"n_group|topk_group|num_expert_groups?", 1),
    (r"(q|kv|o)_lora_rank|.*_lora_rank", 16),
    (r"qk_rope_head_dim|qk_nope_head_dim|v_head_dim|head_dim|d_kv|.*head_dim|attn_head_size", 8),
    (r"qk_head_dim", 16),
    (r"(num_|n_)?(.*_)?(key_value_heads|kv_heads|query_groups)", 2),
    (r"(num_|n_)?(.*_)?(attention_|attn_)?heads?(_kv)?|.*attention_heads", 4),
    (
        r"intermediate_size|.*_intermediate_size|(.*_)?ffn_dim|(.*_)?ffn_size|d_ff|n_inner|d_inner",
        64,
    ),
    (r"mlp_dim|(.*_)?mlp_hidden_size|feed_forward_size", 64),
    (r"hidden_size|(.*_)?hidden_size|d_model|n_embd|embed_dim|hidden_dim|(.*_)?hidden_dim", 32),
    (r"embedding_size|projection_dim|out_hidden_size|word_embed_proj_dim|out_dim|dim", 32),
    (r"image_size", 32),
    (r"patch_size", 8),
    (r"mamba_d_state|state_size|ssm_state_size", 8),
    (r"num_queries|num_query_tokens", 8),
    (r"num_denoising|index_topk", 4),
)
# Of head_dim 8: half of it has angles, shared out among time, height and width.
SECTIONS = {"mrope_section": [2, 1, 1], "xdrope_section": [1, 1, 1, 1]}


def small(kind: type, level: Level, **given: Any) -> Any:
    """Return a small config of a class."""
    if level is Level.PUBLISHED:
        return kind(**given)
    return _shrunk(kind(**given), level)


def _shrunk(config: Any, level: Level) -> Any:
    fields = _values(config)
    picked = _picked_layers(fields)
    changed: dict[str, Any] = {}
    for name, value in fields.items():
        if _is_config(value):
            changed[name] = _shrunk(value, level)
        elif (new := _smaller(name, value, fields, picked, level)) != value:
            changed[name] = new
    changed |= _special_tokens(fields)
    changed |= _even_heads(fields, changed)
    rows = CONFIGS.get(config.model_type, {})
    kept = {n: v for n, v in _given(config, fields).items() if n not in changed}
    return type(config)(**(kept | changed | rows))


def _values(config: Any) -> dict[str, Any]:
    accepted = _accepted(type(config))
    return {n: v for n, v in vars(config).items() if n in accepted}


def _given(config: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the sub-configs, and plain fields that differ from the class's own default."""
    defaults = {n: getattr(type(config), n, None) for n in fields}
    return {
        n: v
        for n, v in fields.items()
        if isinstance(v, (bool, int, float, str)) and defaults[n] is not None and v != defaults[n]
    }


def _accepted(kind: type) -> set[str]:
    if dataclasses.is_dataclass(kind):
        return {f.name for f in dataclasses.fields(kind)}
    return set(inspect.signature(kind.__init__).parameters) - {"self", "kwargs"}


def _is_config(value: Any) -> bool:
    return hasattr(value, "model_type") and hasattr(value, "to_dict")


def _picked_layers(fields: dict[str, Any]) -> list[int]:
    """Return which layers stay: one of every kind; two where only the first may differ."""
    lists = [fields.get(n) for n in ("layer_types", "layers_block_type", "mlp_layer_types")]
    kinds = list(zip(*(k for k in lists if isinstance(k, (list, tuple))), strict=False))
    first = sorted({kinds.index(kind) for kind in kinds})
    fewest = 2 if any("first_k" in n or "sparse_step" in n for n in fields) else 1
    return first if len(first) >= fewest else list(range(fewest))


def _smaller(name: str, value: Any, fields: dict[str, Any], picked: list[int], level: Level) -> Any:
    layers = next((fields[n] for n in ("num_hidden_layers", "n_layer") if n in fields), None)
    if name in ("num_hidden_layers", "n_layer") and isinstance(value, int):
        return min(value, len(picked))
    if isinstance(value, (list, tuple)) and value:
        return _smaller_list(name, value, layers, picked, level)
    if isinstance(value, dict) and level is Level.TINY:
        return {n: SECTIONS.get(n, v) for n, v in value.items()}
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        return value
    for pattern, size in (*DEPTHS, *(WIDTHS if level is Level.TINY else ())):
        if re.fullmatch(pattern, name):
            return min(value, size)
    return value


def _smaller_list(
    name: str, value: Any, layers: int | None, picked: list[int], level: Level
) -> Any:
    if layers is not None and len(value) == layers and layers > len(picked):
        return type(value)(value[i] for i in picked)
    if name in ("depths", "num_block_repeats") and all(isinstance(v, int) for v in value):
        return type(value)(1 for _ in value)
    return value


def _even_heads(fields: dict[str, Any], changed: dict[str, Any]) -> dict[str, int]:
    """Return as many key-value heads as heads where the published model has as many."""
    pair = fields.get("num_attention_heads"), fields.get("num_key_value_heads")
    if None in pair or pair[0] != pair[1] or "num_attention_heads" not in changed:
        return {}
    return {"num_key_value_heads": changed["num_attention_heads"]}


def _special_tokens(fields: dict[str, Any]) -> dict[str, int]:
    """Return ids inside the small vocabulary, from its end; another for every name."""
    names = sorted(
        n
        for n, v in fields.items()
        if re.fullmatch(r".*(_token_id|_token_index|_token)", n)
        and isinstance(v, int)
        and v >= VOCABULARY - 32
        and not isinstance(v, bool)
    )
    return {name: VOCABULARY - 1 - _place(name) for name in names}


def _place(name: str) -> int:
    """Return a number below 31 for a name; the same in every config that has it."""
    stem = re.sub(r"(_token_id|_token_index|_token)$", "", name)
    known = ["image", "video", "audio", "vision_start", "vision_end", "bos", "eos", "pad"]
    return known.index(stem) if stem in known else 8 + sum(map(ord, stem)) % 22
