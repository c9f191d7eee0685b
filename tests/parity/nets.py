"""Nets of plain torch modules that zennit's composites were made for, and some that they miss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Join = Callable[[], nn.Module]


class Plus(nn.Module):
    """The sum of a residual block, as a module, so that zennit's own can stand in its place."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


class Block(nn.Module):
    """Two convolutions with batch norm beside a shortcut that may have its own."""

    def __init__(self, inputs: int, outputs: int, stride: int, join: Join) -> None:
        super().__init__()
        self.way = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.join, self.act = join(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.join(self.shortcut(x), self.way(x)))


def mlp(join: Join) -> nn.Module:
    """Linear layers and rectifiers."""
    return nn.Sequential(
        nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 10), nn.ReLU(), nn.Linear(10, 4)
    )


def vgg(join: Join) -> nn.Module:
    """Convolutions, one of them with groups and stride, max pooling, a head of linear layers."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32, 10),
        nn.ReLU(),
        nn.Linear(10, 4),
    )


def vgg_bn(join: Join) -> nn.Module:
    """Batch norm after convolutions with a bias of their own, and average pooling."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(72, 8),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Linear(8, 4),
    )


def resnet(join: Join) -> nn.Module:
    """A stem, a block with the identity beside it, a block with a projection, a linear head."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        Block(6, 6, 1, join),
        Block(6, 8, 2, join),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


def up(join: Join) -> nn.Module:
    """A convolution over time, a transposed one and its batch norm, a linear head."""
    return nn.Sequential(
        nn.Conv1d(3, 6, 3, stride=2),
        nn.ReLU(),
        nn.ConvTranspose1d(6, 4, 4, stride=2, padding=1),
        nn.BatchNorm1d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32, 4),
    )


NETS: dict[str, tuple[Callable[[Join], nn.Module], tuple[int, ...]]] = {
    "mlp": (mlp, (2, 12)),
    "vgg": (vgg, (1, 3, 6, 6)),
    "vgg_bn": (vgg_bn, (1, 3, 6, 6)),
    "resnet": (resnet, (1, 3, 6, 6)),
    "up": (up, (1, 3, 9)),
}


class FunctionalResidual(nn.Module):
    """h + f(h) without a module for the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act = nn.Linear(6, 6, bias=False), nn.ReLU()
        self.way, self.head = nn.Linear(6, 6, bias=False), nn.Linear(6, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.first(x))
        return self.head(h + self.act(self.way(h)))


class FunctionalGelu(nn.Module):
    """An activation without a module, which is not the identity where it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(6, 8, bias=False), nn.Linear(8, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.gelu(self.first(x)))


class Reused(nn.Module):
    """One linear layer that is called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.step, self.head = nn.Linear(6, 6, bias=False), nn.Linear(6, 4, bias=False)
        self.acts = nn.ModuleList(nn.ReLU() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for act in self.acts:
            x = act(self.step(x))
        return self.head(x)


class FunctionalRelu(nn.Module):
    """Rectifiers without a module: their gradient masks relevance that is zero anyway."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8, bias=False), nn.Linear(8, 8, bias=False)
        self.head = nn.Linear(8, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.second(F.relu(self.first(x)))))


# Without biases, so that relevance has to add up to the explained output.
SILENT: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "functional_residual": (FunctionalResidual, (2, 6)),
    "functional_gelu": (FunctionalGelu, (2, 6)),
    "reused_module": (Reused, (2, 6)),
    "functional_relu": (FunctionalRelu, (2, 6)),
}


def set_apart(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Random weights, biases and batch-norm statistics: nothing that a wrong rule could ignore."""
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        new = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        if name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
            new = 0.6 + new.abs()
        elif tensor.dim() > 1:
            new = new * (2.0 / tensor[0].numel()) ** 0.5
        else:
            new = 0.3 * new
        tensor.copy_(new)
    return model.eval()
