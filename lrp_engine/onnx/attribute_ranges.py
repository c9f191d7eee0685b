"""Say which values an op's whole-number attributes may have, by the names that all ops share.

Checked before an entry sees an attribute: torch takes values that ONNX does not allow, or hangs
on them. `tests/onnx/test_attributes.py` has every attribute of the op table declared here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_MOST = 1 << 31  # a count that torch takes
_LONGEST = 1 << 16  # of a window, and of its padding, its steps and its gaps
_ANY = (-(1 << 63), (1 << 63) - 1)


@dataclass(frozen=True)
class WholeRange:
    """The smallest and the largest value; those of an axis count from the rank, -rank to rank - 1.

    `beyond` is how many axes more than its first input has an axis may name.
    """

    low: int = _ANY[0]
    high: int = _ANY[1]
    is_axis: bool = False
    beyond: int = 0

    def fault(self, value: int, rank: int | None) -> str:
        """Return why a value is refused; empty if it is not. `rank`: axes of the first input."""
        low, high = self.low, self.high
        if self.is_axis and rank is not None:
            high = rank - 1 + self.beyond
            low = -(high + 1)
            if not rank and value in (0, -1):
                return ""  # a number without axes is read as a row of one
        if low <= value <= high:
            return ""
        return f"is {value}, which is not from {low} to {high}"


_FLAG = WholeRange(0, 1)
_POSITIVE = WholeRange(1, _MOST)
_COUNT = WholeRange(0, _MOST)
_STEP = WholeRange(1, _LONGEST)
_PAD = WholeRange(0, _LONGEST)
_AXIS = WholeRange(is_axis=True)
_FREE = WholeRange()
_CODE = WholeRange(0, 1 << 8)  # of an element type


def _each(allowed: WholeRange, names: str) -> dict[str, WholeRange]:
    return dict.fromkeys(names.split(), allowed)


RANGES: Mapping[str, WholeRange] = {
    **_each(
        _FLAG,
        "align_corners allowzero antialias broadcast ceil_mode center_point_box channels_last"
        " count_include_pad"
        " detect_negative detect_positive do_rotary exclude_outside exclusive fmod input_forget"
        " interleaved is_causal is_packed_batching is_test keepdims largest layout multi_class"
        " linear_before_reset noop_with_empty_axes past_present_share_buffer reverse saturate"
        " select_last_index sorted spatial storage_order training_mode transA transB transBatchA"
        " transBatchB unidirectional upper directions scan_input_directions"
        " scan_output_directions mask_index_type causal inverse onesided periodic"
        " rotary_interleaved sliding_window_cache",
    ),
    **_each(
        _POSITIVE,
        "blocksize group hidden_size kv_num_heads num_groups num_heads offset_group q_num_heads"
        " num_outputs targets qkv_hidden_sizes inputdimensions K N",
    ),
    **_each(_STEP, "dilations kernel_shape size strides output_height output_width"),
    **_each(_PAD, "output_padding pads sampling_ratio"),
    **_each(_AXIS, "axes axis perm batch_axis time_axis"),
    **_each(_COUNT, "batch_dims rotary_embedding_dim block_size num_scan_inputs"),
    **_each(_CODE, "dtype to output_dtype output_datatype stash_type softmax_precision precision"),
    **_each(
        _FREE,
        "classlabels_int64s classlabels_ints end imputed_value_int64s k left_window_size new_axis"
        " opset output_shape p qk_matmul_output_mode repeats replaced_value_int64"
        " right_window_size scan_input_axes scan_output_axes seed shape split start starts ends"
        " steps tiles value_int value_ints depth position sizes indices paddings block_shape"
        " image_shape",
    ),
}

# Ops that read a shared name in their own way.
OF_OP: Mapping[tuple[str, str], WholeRange] = {
    ("Pad", "pads"): WholeRange(-_MOST, _MOST),
    ("Pad", "paddings"): WholeRange(-_MOST, _MOST),
    ("Flatten", "axis"): WholeRange(is_axis=True, beyond=1),
    ("OneHot", "axis"): WholeRange(is_axis=True, beyond=1),
    ("Unsqueeze", "axes"): _FREE,  # counts the axes of its result
    ("ConcatFromSequence", "axis"): _FREE,  # counts the axes of what is in the sequence
    ("QLinearConcat", "axis"): _FREE,  # its first input is a scale
    ("ScatterND", "axis"): _FREE,
    ("Slice", "axes"): _AXIS,
    ("LayerNormalization", "axis"): _AXIS,
    ("Attention", "qk_matmul_output_mode"): WholeRange(0, 3),
    ("AffineGrid", "size"): _COUNT,
    ("GroupQueryAttention", "kv_cache_bit_width"): WholeRange(0, 8),
    ("GroupQueryAttention", "local_window_size"): WholeRange(-1, _MOST),
    ("GroupQueryAttention", "qk_output"): WholeRange(0, 2),
    ("GroupQueryAttention", "smooth_softmax"): WholeRange(-1, 1),
    ("MatMulNBits", "accuracy_level"): WholeRange(0, 4),
    ("MatMulNBits", "bits"): WholeRange(2, 8),
    ("MatMulNBits", "block_size"): WholeRange(16, _MOST),
    ("MatMulNBits", "weight_prepacked"): WholeRange(0, 2),
    ("Split", "split"): _COUNT,
}


def range_of(op: str, attribute: str) -> WholeRange | None:
    """Return the range of an op's attribute; None if it is not declared."""
    return OF_OP.get((op, attribute)) or RANGES.get(attribute)
