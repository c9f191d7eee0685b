"""Small nets of every shape that conservation is shown on; `bias` decides whether they have any."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.support import draw, seeded


class Mlp(nn.Sequential):
    """Three layers, two kinds of activation."""

    def __init__(self, bias: bool) -> None:
        super().__init__(
            nn.Linear(6, 9, bias),
            nn.ReLU(),
            nn.Linear(9, 8, bias),
            nn.GELU(),
            nn.Linear(8, 4, bias),
        )


class Conv(nn.Sequential):
    """Strided, grouped, depthwise and dilated convolutions, both poolings, a linear head."""

    def __init__(self, bias: bool) -> None:
        super().__init__(
            nn.Conv2d(2, 6, 3, padding=1, bias=bias),
            nn.ReLU(),
            nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=bias),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(6, 8, 3, stride=2, padding=2, dilation=2, groups=2, bias=bias),
            nn.AvgPool2d(2, stride=1, padding=1),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 4, bias),
        )


class Transposed(nn.Sequential):
    """Convolutions over time, up and down again."""

    def __init__(self, bias: bool) -> None:
        super().__init__(
            nn.Conv1d(2, 5, 3, stride=2, bias=bias),
            nn.Tanh(),
            nn.ConvTranspose1d(5, 3, 4, stride=2, padding=1, bias=bias),
            nn.MaxPool1d(2),
            nn.Flatten(),
            nn.Linear(15, 4, bias),
        )


class Norms(nn.Module):
    """Batch norm in eval mode; without `bias` it shifts nothing."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 5, 3, bias=bias), nn.BatchNorm2d(5)
        self.head = nn.Linear(5, 4, bias)
        self.norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(self.norm.weight, 0.5, 2)
        if bias:
            nn.init.normal_(self.norm.bias)
            nn.init.normal_(self.norm.running_mean)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.norm(self.conv(x))).mean((2, 3)))


class Residual(nn.Module):
    """h + f(h), as a function, by `+=`, and with a projected shortcut."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6, bias), nn.Linear(6, 6, bias)
        self.shortcut, self.head = nn.Linear(6, 4, bias), nn.Linear(6, 4, bias)

    def forward(self, x: Tensor) -> Tensor:
        h = x + F.relu(self.first(x))
        y = F.silu(self.second(h))
        y += h
        return self.head(y) + self.shortcut(h)


class Reuse(nn.Module):
    """One module called three times, one activation module shared by all."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.step, self.act, self.head = nn.Linear(6, 6, bias), nn.ReLU(), nn.Linear(6, 4, bias)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = self.act(self.step(x))
        return self.head(x)


class Tied(nn.Module):
    """Two Linear modules with one weight, and an autoencoder's transposed weight."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6, bias), nn.Linear(6, 6, bias)
        self.b.weight = self.a.weight
        self.encode = nn.Linear(6, 4, bias)

    def forward(self, x: Tensor) -> Tensor:
        code = F.relu(self.encode(F.relu(self.b(F.relu(self.a(x))))))
        return self.encode(F.linear(code, self.encode.weight.T))


class InPlace(nn.Module):
    """relu_, +=, *= and a slice that is written to."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.a, self.head = nn.Linear(6, 6, bias), nn.Linear(6, 4, bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x).relu_()
        h += x
        h *= 0.5
        h[:, 2:4] = x[:, :2] + h[:, 2:4]
        h[:, 0] += x[:, 5]
        return self.head(h.clamp_(min=0))


class Functional(nn.Module):
    """Hand-written ops: matmul, einsum, cat, chunk, stack, gates, gather, max."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.weight, self.head = nn.Parameter(torch.randn(6, 8)), nn.Parameter(torch.randn(9, 4))
        self.shift = nn.Parameter(torch.randn(4)) if bias else 0.0

    def forward(self, x: Tensor) -> Tensor:
        a, b = (x @ self.weight).chunk(2, dim=-1)
        gated = torch.einsum("bi,bi->bi", F.gelu(a), b) * 1.5
        joined = torch.cat([gated, torch.stack([a, b], 1).amax(1), x.roll(1, -1)[:, 1:2]], -1)
        return joined @ self.head + self.shift


class TiedLanguage(nn.Module):
    """Token ids through an embedding whose transpose is the head."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.table, self.mix = nn.Embedding(11, 6), nn.Linear(6, 6, bias)
        self.head = nn.Linear(6, 11, bias)
        self.head.weight = self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        h = self.table(ids)
        return self.head(h + F.gelu(self.mix(h))).mean(1)


INPUTS: dict[type[nn.Module], Callable[[], Tensor]] = {
    Mlp: lambda: draw(3, 6),
    Conv: lambda: draw(3, 2, 11, 9),
    Transposed: lambda: draw(3, 2, 11),
    Norms: lambda: draw(3, 2, 7, 6),
    Residual: lambda: draw(3, 6),
    Reuse: lambda: draw(3, 6),
    Tied: lambda: draw(3, 6),
    InPlace: lambda: draw(3, 6),
    Functional: lambda: draw(3, 6),
    TiedLanguage: lambda: torch.arange(15).view(3, 5) % 11,
}


def net(
    kind: type[nn.Module], bias: bool = False, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[nn.Module, Tensor]:
    """A random net and inputs for it."""
    inputs, model = INPUTS[kind](), seeded(kind, bias, seed=seed, dtype=dtype)
    return model, inputs.to(dtype) if inputs.dtype.is_floating_point else inputs
