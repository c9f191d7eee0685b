"""torch's core ATen ops that have no record in `rules/`, each with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from lrp_engine.method.registry import Registry

DISCRETE = "its result is integer or boolean: such values carry no relevance"
SOURCE = "it has no tensor operand: a constant, a draw, an index"
NUMBER = "it gives Python a size or a number, not a tensor"
BACKWARD = "a derivative: no model's forward pass calls it"
DECOMPOSES = "the engine takes it apart into ops that have records"

_BY_REASON = {
    DISCRETE: """any.default any.dim any.dims argmax.default argmin.default bitwise_and.Scalar
        bitwise_and.Tensor bitwise_not.default bitwise_or.Scalar bitwise_or.Tensor
        bitwise_xor.Scalar bitwise_xor.Tensor eq.Scalar eq.Tensor ge.Scalar ge.Tensor gt.Scalar
        gt.Tensor isinf.default isnan.default le.Scalar le.Tensor logical_and.default
        logical_not.default logical_or.default logical_xor.default lt.Scalar lt.Tensor ne.Scalar
        ne.Tensor nonzero.default""",
    SOURCE: """arange.start_step empty.memory_format empty_strided.default full.default rand.default
        randn.default randperm.default scalar_tensor.default""",
    NUMBER: """_local_scalar_dense.default sym_is_contiguous.default sym_numel.default sym_size.int
        sym_storage_offset.default sym_stride.int""",
    BACKWARD: """_adaptive_avg_pool2d_backward.default avg_pool2d_backward.default
        convolution_backward.default embedding_dense_backward.default
        max_pool2d_with_indices_backward.default native_group_norm_backward.default
        native_layer_norm_backward.default""",
    DECOMPOSES: "native_dropout.default div.Scalar_mode",
    "it overwrites running statistics, as training does; the eval-mode forms have records": (
        "_native_batch_norm_legit.default"
    ),
    "it looks rows up and sums them: which of the two is the source is not settled": (
        "_embedding_bag.default"
    ),
    "it changes its operand in place: capture makes graphs functional": "resize_.default",
    "complex values: the engine computes with their parts instead": (
        "_fft_c2r.default _fft_r2c.default"
    ),
    "its result depends on how its operand lies in memory": "as_strided.default",
    "it writes to an argument; the other form has a record": "atan2.out",
}

GAPS = {f"aten.{op}": reason for reason, ops in _BY_REASON.items() for op in ops.split()}


def core_ops() -> Iterator[torch._ops.OpOverload]:
    """Every op that torch tags as core."""
    for schema in torch._C._jit_get_all_schemas():
        if schema.name.startswith("aten::"):
            packet = getattr(torch.ops.aten, schema.name.removeprefix("aten::"))
            op = getattr(packet, schema.overload_name or "default", None)
            if op is not None and torch.Tag.core in op.tags:
                yield op


def without_record(registry: Registry) -> set[str]:
    """Core ops that the registry does not know."""
    return {str(op) for op in core_ops() if op not in registry.ops}
