"""ResNet-50 of modules, sums included, so that tools which see modules only can explain it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

Join = Callable[[], nn.Module]


class Plus(nn.Module):
    """The sum of a residual block, as a module that a tool's own can replace."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


class Bottleneck(nn.Module):
    """He et al. 2016: 1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut."""

    def __init__(self, before: int, width: int, stride: int, join: Join) -> None:
        super().__init__()
        after = 4 * width
        self.way = nn.Sequential(
            nn.Conv2d(before, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        # No identity module: captum has no rule for one.
        self.shortcut: nn.Module | None = None
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )
        self.join, self.act = join(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.join(x if self.shortcut is None else self.shortcut(x), self.way(x)))


class ResNet50(nn.Module):
    """A stem, 3 + 4 + 6 + 3 blocks, a linear head."""

    def __init__(self, join: Join) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, 64, 7, 2, padding=3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
        ]
        before = 64
        for stage, (width, depth) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)]):
            for i in range(depth):
                layers.append(Bottleneck(before, width, 2 if stage and not i else 1, join))
                before = 4 * width
        self.features = nn.Sequential(*layers)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(before, 1000)

    def forward(self, x: Tensor) -> Tensor:
        # Flattened without a module: captum has no rule for one.
        return self.head(self.pool(self.features(x)).flatten(1))
