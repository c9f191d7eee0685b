"""List less common products and quotients: sums of products, outer and cross products, lerp."""

from __future__ import annotations

from lrp_engine.graphs.aten import aten
from lrp_engine.method.op import Quotient
from lrp_engine.method.samples import positive, real, sample
from lrp_engine.rules.linear import linear
from lrp_engine.rules.product import product

SUMS_OF_PRODUCTS = (
    product(
        aten.addcmul.default,
        "tensor1",
        "tensor2",
        plus="self",
        samples=(sample(real(2, 3), real(2, 3), real(3), value=0.5),),
    ),
    product(
        aten.addmv.default,
        "mat",
        "vec",
        plus="self",
        samples=(sample(real(2), real(2, 3), real(3), beta=0.5, alpha=2),),
    ),
    product(
        aten.addr.default,
        "vec1",
        "vec2",
        plus="self",
        samples=(sample(real(2, 3), real(2), real(3)),),
    ),
    product(
        aten.addbmm.default,
        "batch1",
        "batch2",
        plus="self",
        samples=(sample(real(2, 4), real(2, 2, 3), real(2, 3, 4)),),
    ),
)

OTHER_PRODUCTS = (
    product(aten.linalg_cross.default, "self", "other", samples=(sample(real(2, 3), real(2, 3)),)),
    product(
        aten._trilinear.default,
        "i1",
        "i2",
        "i3",
        samples=(sample(real(5, 3), real(2, 3, 4), real(5, 4), [1, 3], [0], [1, 2], [2, 3]),),
    ),
    product(aten.vdot.default, "self", "other", samples=(sample(real(3), real(3)),)),
)

INTERPOLATIONS = (
    linear(aten.lerp.Scalar, "self", "end", samples=(sample(real(2, 3), real(2, 3), 0.3),)),
    # With a weight that is live itself there is no record: torch's decomposition serves.
    linear(
        aten.lerp.Tensor,
        "self",
        "end",
        samples=(sample(real(2, 3), real(2, 3), positive(2, 3)),),
    ),
)

QUOTIENTS = (
    Quotient(
        target=aten.div.Tensor_mode,
        operands=("self", "other"),
        numerator="self",
        denominator="other",
        samples=(sample(real(2, 3), positive(2, 3), rounding_mode=None),),
        when=lambda arguments, _: arguments["rounding_mode"] is None,
    ),
)
