"""Simplify a captured graph; one pass per file, and none changes a result."""

from ..capture import Captured
from ..method.registry import Registry
from .codes_as_numbers import show_codes_as_numbers
from .complex_numbers import split_complex
from .decide_exponents import decide_exponents
from .decompose import decompose
from .drop_inert import drop_inert
from .flex_attention import write_flex_attention
from .fold_batch_norm import fold_batch_norm
from .join_biases import join_biases
from .masks import recognise_masks
from .open_bags import open_bags
from .open_quantisers import open_quantisers
from .refuse_nested import refuse_nested
from .write_casts import write_casts

__all__ = [
    "canonicalise",
    "decide_exponents",
    "decompose",
    "fold_batch_norm",
    "join_biases",
    "split_complex",
]


def canonicalise(captured: Captured, registry: Registry) -> Captured:
    """Run every pass that needs no plan, in order."""
    flat = refuse_nested(write_flex_attention(captured))
    flat = open_quantisers(open_bags(flat), registry)
    flat = drop_inert(flat, registry)
    split = split_complex(flat, registry)
    plain = recognise_masks(split.captured if split else flat)
    shown = show_codes_as_numbers(write_casts(plain, registry), registry)
    return decide_exponents(shown)
