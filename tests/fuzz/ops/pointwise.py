"""Entry by entry: activations, elementary functions, arithmetic of two values, casts."""

import math

import torch
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.fuzz.rows import Row, at_least, axes, axis_of, both, broadcasts, same_shape, table

ACTIVATIONS = table(
    {
        **{
            name: getattr(F, name)
            for name in [
                "celu",
                "elu",
                "gelu",
                "hardshrink",
                "hardsigmoid",
                "hardswish",
                "hardtanh",
                "leaky_relu",
                "logsigmoid",
                "mish",
                "relu",
                "relu6",
                "selu",
                "silu",
                "softplus",
                "softshrink",
                "softsign",
                "tanhshrink",
            ]
        },
        "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
        "threshold": lambda x: F.threshold(x, 0.2, -0.4),
        "elu 0.5": lambda x: F.elu(x, 0.5),
        "softplus steep": lambda x: F.softplus(x, 3.0, 2.0),
        "rrelu": lambda x: F.rrelu(x, training=False),
        "leaky by where": lambda x: torch.where(x > 0, x, 0.1 * x),
        "quick gelu": lambda x: x * torch.sigmoid(1.702 * x),
        "gelu by hand": lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
        "relu by clamp": lambda x: x.clamp(min=0),
        "squared relu": lambda x: F.relu(x).square(),
        "mish by hand": lambda x: x * torch.tanh(F.softplus(x)),
    }
)
FUNCTIONS = table(
    {
        **{
            name: getattr(torch, name)
            for name in [
                "abs",
                "arctan",
                "asinh",
                "atan",
                "cos",
                "erf",
                "erfc",
                "exp2",
                "expm1",
                "neg",
                "positive",
                "sgn",
                "sigmoid",
                "sign",
                "sin",
                "sinc",
                "sinh",
                "square",
                "tanh",
                "deg2rad",
                "rad2deg",
                "frac",
                "trunc",
                "round",
                "floor",
                "ceil",
                "i0",
                "nan_to_num",
                "exp",
                "cosh",
            ]
        },
        "log": lambda x: torch.log(x.abs() + 0.3),
        "log1p": lambda x: torch.log1p(x * x),
        "log2": lambda x: torch.log2(x.square() + 0.5),
        "log10": lambda x: torch.log10(x.square() + 0.5),
        "sqrt": lambda x: torch.sqrt(x.square() + 0.1),
        "rsqrt": lambda x: torch.rsqrt(x.square() + 0.1),
        "reciprocal": lambda x: torch.reciprocal(x.square() + 0.5),
        "asin": lambda x: torch.asin(0.9 * torch.tanh(x)),
        "acos": lambda x: torch.acos(0.9 * torch.tanh(x)),
        "atanh": lambda x: torch.atanh(0.9 * torch.tanh(x)),
        "acosh": lambda x: torch.acosh(1.5 + x.square()),
        "tan": lambda x: torch.tan(torch.tanh(x)),
        "erfinv": lambda x: torch.erfinv(0.9 * torch.tanh(x)),
        "logit": lambda x: torch.logit(torch.sigmoid(x), eps=1e-3),
        "lgamma": lambda x: torch.lgamma(1 + x.square()),
        "digamma": lambda x: torch.digamma(1 + x.square()),
        "entr": lambda x: torch.special.entr(torch.sigmoid(x)),
        "ndtr": torch.special.ndtr,
        "log_ndtr": torch.special.log_ndtr,
        "erfcx": torch.special.erfcx,
        "i1": torch.special.i1,
        "pow 3": lambda x: x**3,
        "pow 1.5": lambda x: x.abs() ** 1.5,
        "pow -1": lambda x: (1 + x * x) ** -1,
        "2 ** x": lambda x: 2**x,
        "1 / x": lambda x: 1 / (1 + x * x),
        "3 - x": lambda x: 3 - x,
        "add scalar": lambda x: x + 0.5,
        "mul scalar": lambda x: x * -1.5,
        "div scalar": lambda x: x / 3,
        "rsub": lambda x: torch.rsub(x, 1.0, alpha=2),
        "clamp": lambda x: x.clamp(-0.5, 0.7),
        "clip max": lambda x: torch.clip(x, max=0.4),
        "remainder": lambda x: torch.remainder(x, 0.7),
        "fmod": lambda x: torch.fmod(x, 0.7),
        "rounded": lambda x: torch.round(x, decimals=1),
        "floor divide": lambda x: x // 0.5,
        "mvlgamma": lambda x: torch.mvlgamma(2 + x.square(), 2),
        "polygamma": lambda x: torch.polygamma(1, 1 + x.square()),
        "clone": torch.clone,
        "detached half": lambda x: x + x.detach(),
        "heaviside": lambda x: torch.heaviside(x, x.new_tensor(0.5)),
        "ldexp": lambda x: torch.ldexp(x, torch.tensor(2)),
        "frexp": lambda x: torch.frexp(x)[0],
        "nan guarded": lambda x: torch.where(x > 0, x, torch.nan).nan_to_num(0.3),
    }
)
WEIGHTED = [
    Row("scale", lambda x, w: x * w, weights=lambda x: [x.shape[1:]]),
    Row("shift", lambda x, w: x + w, weights=lambda x: [x.shape[1:]]),
    Row("over weight", lambda x, w: x / (1 + w * w), weights=lambda x: [x.shape[1:]]),
    Row("prelu", F.prelu, weights=lambda x: [(x.shape[1],)], fits=at_least(2)),
    Row("addcmul", lambda x, w, v: torch.addcmul(x, x, w, value=0.3) + v,
        weights=lambda x: [x.shape[1:]] * 2),
    Row("addcdiv", lambda x, w: torch.addcdiv(x, w, 1 + x * x, value=0.3),
        weights=lambda x: [x.shape[1:]]),
    Row("lerp weight", torch.lerp, "ff", same_shape, weights=lambda x, y: [x.shape[1:]]),
    Row("clamp tensor", lambda x, w: x.clamp(w - 0.5, w + 0.5), weights=lambda x: [x.shape[1:]]),
]  # fmt: skip
PAIRS = table(
    {
        **{
            name: getattr(torch, name)
            for name in [
                "add",
                "sub",
                "mul",
                "maximum",
                "minimum",
                "fmax",
                "fmin",
                "hypot",
                "copysign",
                "atan2",
            ]
        },
        "add alpha": lambda x, y: torch.add(x, y, alpha=-0.5),
        "sub alpha": lambda x, y: torch.sub(x, y, alpha=2),
        "div": lambda x, y: x / (1 + y * y),
        "true divide": lambda x, y: torch.true_divide(x, 2 + torch.tanh(y)),
        "div trunc": lambda x, y: torch.div(x, 1 + y * y, rounding_mode="trunc"),
        "pow": lambda x, y: (0.5 + x * x) ** torch.tanh(y),
        "logaddexp": torch.logaddexp,
        "logaddexp2": torch.logaddexp2,
        "xlogy": lambda x, y: torch.xlogy(x, 0.3 + y * y),
        "xlog1py": lambda x, y: torch.special.xlog1py(x, y * y),
        "lerp": lambda x, y: torch.lerp(x, y, 0.3),
        "remainder by value": lambda x, y: torch.remainder(x, 0.5 + y * y),
        "fmod by value": lambda x, y: torch.fmod(x, 0.5 + y * y),
        "clamp by value": lambda x, y: torch.clamp(x, min=y),
        "gated silu": lambda x, y: F.silu(x) * y,
        "where": lambda x, y: torch.where(x > y, x, y * 0.5),
        "mixed": lambda x, y: torch.sigmoid(x) * y + (1 - torch.sigmoid(x)) * x,
        "heaviside by value": torch.heaviside,
        "nextafter": torch.nextafter,
        "rsub pair": torch.rsub,
        "addcmul pair": lambda x, y: torch.addcmul(x, x, y, value=0.5),
        "addcdiv pair": lambda x, y: torch.addcdiv(x, y, 1 + x * x, value=0.5),
        "float power": lambda x, y: torch.float_power(0.5 + x * x, torch.tanh(y)),
        "floor divide by value": lambda x, y: torch.floor_divide(x, 0.5 + y * y),
    },
    operands="ff",
    fits=broadcasts,
)
GATED = [
    Row("glu", lambda x, axis: F.glu(x, axis_of(x, axis)), options={"axis": axes},
        fits=both(at_least(2), lambda x, axis: x.shape[axis_of(x, axis)] % 2 == 0)),
    Row("swiglu", lambda x: F.silu(x.chunk(2, -1)[0]) * x.chunk(2, -1)[1],
        fits=both(at_least(2), lambda x: x.shape[-1] % 2 == 0)),
    Row("straight through", lambda x, step: x + (torch.round(x / step) * step - x).detach(),
        options={"step": st.sampled_from([0.1, 0.25])}),
    Row("quantised", lambda x: torch.fake_quantize_per_tensor_affine(x.float(), 0.05, 3, -128, 127)
        .double(), coarse=True),
]  # fmt: skip
CASTS = table(
    {
        "to single and back": lambda x: x.float().double(),
        "to like": lambda x: x.to(torch.float32).to(x),
        "type_as": lambda x: x.type(torch.float32).type_as(x),
    },
    coarse=True,
)
ROWS = [*ACTIVATIONS, *FUNCTIONS, *WEIGHTED, *PAIRS, *GATED, *CASTS]
