"""Serve ops that only move entries. Relevance moves back with them, in either form."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx.node import Target

from lrp_engine.graphs.aten import aten
from lrp_engine.graphs.schema import invoke, operands_of, substitute
from lrp_engine.method.call import Arriving, Call, Coefficients, Form, Passed, at_result
from lrp_engine.method.claims import as_are
from lrp_engine.method.op import AtZero, Inert, Move
from lrp_engine.method.relevance import sum_relevance
from lrp_engine.method.rule import rule
from lrp_engine.method.samples import (
    Sample,
    integers,
    real,
    sample,
)


def move(
    target: Target, operand: str, *samples: Sample, idle: bool = False, selectors: str = ""
) -> Move:
    """Return one table row: the op, the argument whose entries it moves, sample calls.

    `idle`: entries keep their order, so a result of the operand's own shape is the operand.
    `selectors`: the argument that holds indices.
    """
    return Move(
        target=target,
        operands=(operand,),
        samples=samples,
        idle_if_same_layout=idle,
        selectors=(selectors,) if selectors else (),
        never_negative=as_are(operand),
    )


VIEWS = (
    move(aten.view.default, "self", sample(real(2, 6), [3, 4]), idle=True),
    move(aten.view_copy.default, "self", sample(real(2, 6), [3, 4])),
    move(aten.reshape.default, "self", sample(real(2, 6), [3, 4]), idle=True),
    move(aten._unsafe_view.default, "self", sample(real(2, 6), [3, 4]), idle=True),
    move(aten.flatten.using_ints, "self", sample(real(2, 3, 2), 1), idle=True),
    move(aten.unflatten.int, "self", sample(real(2, 6), 1, [2, 3]), idle=True),
    move(aten.permute.default, "self", sample(real(2, 3, 4), [2, 0, 1])),
    move(aten.transpose.int, "self", sample(real(2, 3), 0, 1)),
    move(aten.t.default, "self", sample(real(2, 3))),
    move(aten.numpy_T.default, "self", sample(real(2, 3))),
    move(aten.mT.default, "self", sample(real(2, 3))),
    move(aten.movedim.int, "self", sample(real(2, 3, 4), 0, 2)),
    move(aten.swapaxes.default, "self", sample(real(2, 3), 0, 1)),
    move(aten.squeeze.default, "self", sample(real(2, 1, 3)), idle=True),
    move(aten.squeeze.dim, "self", sample(real(2, 1, 3), 1), idle=True),
    move(aten.squeeze.dims, "self", sample(real(2, 1, 3, 1), [1, 3]), idle=True),
    move(aten.unsqueeze.default, "self", sample(real(2, 3), 1)),
    move(aten.expand.default, "self", sample(real(2, 1), [2, 3]), idle=True),
    move(aten.repeat.default, "self", sample(real(2, 3), [2, 1])),
    move(aten.repeat_interleave.self_int, "self", sample(real(2, 3), 2, 1)),
    move(aten.tile.default, "self", sample(real(2, 3), [1, 2])),
    move(aten.clone.default, "self", sample(real(2, 3)), idle=True),
    move(aten.contiguous.default, "self", sample(real(2, 3)), idle=True),
    move(aten.lift_fresh_copy.default, "self", sample(real(2, 3)), idle=True),
    # Kept in the graph, unlike other ops that return their operand: a gradient stops here.
    Move(
        target=aten.detach.default,
        operands=("self",),
        samples=(sample(real(2, 3)),),
        elementwise=True,
        at_zero=AtZero.ZERO,
        never_negative=as_are("self"),
    ),
)

PARTS = (
    move(aten.slice.Tensor, "self", sample(real(4, 3), 0, 1, 3), idle=True),
    move(aten.select.int, "self", sample(real(4, 3), 0, 2)),
    move(aten.narrow.default, "self", sample(real(4, 3), 0, 1, 2), idle=True),
    move(aten.diagonal.default, "self", sample(real(3, 3))),
    move(aten.split.Tensor, "self", sample(real(4, 3), 2)),
    move(aten.split_with_sizes.default, "self", sample(real(4, 3), [1, 3])),
    move(aten.chunk.default, "self", sample(real(4, 3), 2)),
    move(aten.unbind.int, "self", sample(real(2, 3))),
    move(aten.unfold.default, "self", sample(real(2, 6), 1, 3, 2)),
    move(aten.tril.default, "self", sample(real(3, 3))),
    move(aten.triu.default, "self", sample(real(3, 3))),
    move(aten.flip.default, "self", sample(real(4, 3), [0])),
    move(aten.roll.default, "self", sample(real(4, 3), [1], [0])),
    move(aten.pixel_shuffle.default, "self", sample(real(1, 4, 2, 2), 2)),
    move(aten.pixel_unshuffle.default, "self", sample(real(1, 1, 4, 4), 2)),
    move(aten.reflection_pad1d.default, "self", sample(real(1, 2, 4), [1, 1])),
    move(aten.reflection_pad2d.default, "self", sample(real(1, 2, 4, 4), [1, 1, 1, 1])),
    move(aten.replication_pad1d.default, "self", sample(real(1, 2, 4), [1, 1])),
    move(aten.replication_pad2d.default, "self", sample(real(1, 2, 4, 4), [1, 1, 1, 1])),
    move(aten.reflection_pad3d.default, "self", sample(real(1, 1, 2, 2, 3), [1, 1, 1, 0, 0, 1])),
    move(aten.replication_pad3d.default, "self", sample(real(1, 1, 2, 2, 3), [1, 1, 1, 0, 0, 1])),
    move(aten.im2col.default, "self", sample(real(1, 2, 4, 4), [2, 2], [1, 1], [0, 0], [1, 1])),
)

CHOSEN = tuple(
    move(target, "self", call, selectors=indices)
    for target, indices, call in [
        (aten.index.Tensor, "indices", sample(real(4, 3), [integers(4, 5)])),
        (aten._unsafe_index.Tensor, "indices", sample(real(4, 3), [integers(4, 5)])),
        (aten.index_select.default, "index", sample(real(4, 3), 0, integers(4, 2))),
        (aten.gather.default, "index", sample(real(4, 3), 0, integers(4, 2, 3))),
        (aten.take_along_dim.default, "indices", sample(real(4, 3), integers(4, 2, 3), 0)),
    ]
)

JOINS = (
    move(aten.cat.default, "tensors", sample([real(2, 3), real(1, 3)])),
    move(aten.stack.default, "tensors", sample([real(2, 3), real(2, 3)], 1)),
)

INERT = (
    *(
        Inert(
            target=target,
            operands=("self",),
            samples=(sample(real(2, 3)),),
            never_negative=as_are("self"),
        )
        for target in (aten.alias.default,)
    ),
    *(
        Inert(
            target=target,
            operands=("input",),
            samples=(sample(real(2, 3), 0.5, False),),
            never_negative=as_are("input"),
            when=lambda arguments, _: not arguments["train"],
        )
        for target in (aten.dropout.default, aten.feature_dropout.default)
    ),
)


def constants(call: Call[Move], c: Arriving, passed: Passed) -> dict[str, Tensor]:
    """Return what arrives at the entries of a join's operands that carry no relevance."""
    joined = operands_of(call.op.operands, call.arguments)
    if len(joined) == len(call.live):
        return {}
    assert isinstance(c, Tensor)  # a join has one result
    if call.form is Form.COEFFICIENT:
        return {"constant": sum_relevance(c, call.at_zero())}
    marks = {o: torch.full_like(call.operand(o), float(o not in call.live)) for o in joined}
    return {"constant": sum_relevance(c, invoke(call.op.target, substitute(call.arguments, marks)))}


@rule(
    "adjoint",
    family=Move,
    cites="dynamiclrp2025, sec. 3",
    absorbs=constants,
    takes=Form.EITHER,
    gives=Form.EITHER,
)
def adjoint(call: Call[Move], c: Arriving) -> Coefficients:
    """Move relevance back to where entries came from: out = P in, c_in = P^T c, P in {0, 1}."""
    if call.op.target is aten.detach.default:  # relevance goes with values, gradients do not
        return call.only(at_result(c))
    return call.vjp(c)
