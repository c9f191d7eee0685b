"""Convolutional models that transformers does not have, in plain torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .entry import Entry, Inputs, at, numbers


class Vgg(nn.Module):
    """Simonyan and Zisserman 2015: stacks of 3 x 3 convolutions, then three linear layers."""

    def __init__(
        self, stages: Sequence[tuple[int, int]], pooled: int, width: int, classes: int
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for channels, convolutions in stages:
            for _ in range(convolutions):
                layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(inplace=True)]
                before = channels
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(pooled)
        self.classifier = nn.Sequential(
            nn.Linear(before * pooled**2, width),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(width, width),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(width, classes),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.pool(self.features(image)), 1))


class Excitation(nn.Module):
    """Squeeze and excitation: every channel times a gate computed from all of them."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.up(F.silu(self.down(F.adaptive_avg_pool2d(x, 1)), inplace=True))
        return scale.sigmoid() * x


def normed(inner: int, outer: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution and batch norm."""
    convolution = nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outer, eps=1e-3))


class MbConv(nn.Module):
    """An inverted bottleneck, with its first two convolutions fused into one or not."""

    def __init__(self, inner: int, outer: int, expand: int, stride: int, fused: bool) -> None:
        super().__init__()
        hidden = inner * expand
        self.residual = stride == 1 and inner == outer
        layers: list[nn.Module] = []
        if fused:
            layers += [*normed(inner, hidden if expand > 1 else outer, 3, stride), nn.SiLU(True)]
        else:
            layers += [*normed(inner, hidden, 1), nn.SiLU(True)]
            layers += [*normed(hidden, hidden, 3, stride, hidden), nn.SiLU(True)]
            layers += [Excitation(hidden, max(1, inner // 4))]
        if not fused or expand > 1:
            layers += normed(hidden, outer, 1)
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(x)
        if self.residual:
            y += x
        return y


# (fused, expansion, stride, channels, blocks), Tan and Le 2021, as published for size M.
EFFICIENTNET_V2_M = (
    (True, 1, 1, 24, 3),
    (True, 4, 2, 48, 5),
    (True, 4, 2, 80, 5),
    (False, 4, 2, 160, 7),
    (False, 6, 1, 176, 14),
    (False, 6, 2, 304, 18),
    (False, 6, 1, 512, 5),
)


class EfficientNetV2(nn.Module):
    """Tan and Le 2021."""

    def __init__(
        self,
        stages: Sequence[tuple[bool, int, int, int, int]] = EFFICIENTNET_V2_M,
        last: int = 1280,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        before = stages[0][3]
        layers: list[nn.Module] = [*normed(3, before, 3, 2), nn.SiLU(True)]
        for fused, expand, stride, channels, blocks in stages:
            for i in range(blocks):
                layers.append(MbConv(before, channels, expand, stride if i == 0 else 1, fused))
                before = channels
        layers += [*normed(before, last, 1), nn.SiLU(True)]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(last, classes))

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image).mean([2, 3]))


class UNet(nn.Module):
    """Down, up, and a shortcut across: one class per pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.down = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, 2, 1)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.join, self.head = nn.Conv2d(12, 6, 3, padding=1), nn.Conv2d(6, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        wide = F.relu(self.enter(image))
        deep = F.relu(self.down(wide))
        up = F.interpolate(self.up(deep), size=wide.shape[-2:], mode="bilinear")
        return self.head(F.relu(self.join(torch.cat([up, wide], 1))))


class DiffusionBlock(nn.Module):
    """One level of a diffusion U-Net: time embedding, residual block, attention over pixels."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.channels = channels
        self.time = nn.Sequential(nn.Linear(channels, 16), nn.SiLU(), nn.Linear(16, 2 * channels))
        self.enter = nn.Conv2d(3, channels, 3, padding=1)
        self.norms = nn.ModuleList(nn.GroupNorm(2, channels) for _ in range(3))
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.attend = nn.MultiheadAttention(channels, 2, batch_first=True)
        self.leave = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, image: Tensor, step: Tensor) -> Tensor:
        half = self.channels // 2
        rates = torch.exp(-torch.arange(half, dtype=image.dtype) * (9.2 / half))
        angles = step[:, None].to(image.dtype) * rates
        scale, shift = self.time(torch.cat([angles.sin(), angles.cos()], -1)).chunk(2, -1)
        x = self.enter(image)
        h = self.first(F.silu(self.norms[0](x)))
        h = self.norms[1](h) * (1 + scale[..., None, None]) + shift[..., None, None]
        h = F.interpolate(x + self.second(F.silu(h)), scale_factor=2.0, mode="nearest")
        flat = self.norms[2](h).flatten(2).transpose(1, 2)
        mixed = self.attend(flat, flat, flat, need_weights=False)[0].transpose(1, 2)
        return self.leave(F.avg_pool2d(h + mixed.reshape(h.shape), 2))


class Autoencoder(nn.Module):
    """Down to a code and back; the explained number is one pixel of the copy."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(1, 4, 3, 2, 1), nn.ELU(), nn.Conv2d(4, 6, 3, 2, 1), nn.Tanh(), nn.Flatten()
        )
        self.narrow, self.widen = nn.Linear(6 * 16, 5), nn.Linear(5, 6 * 16)
        self.decode = nn.Sequential(
            nn.ConvTranspose2d(6, 4, 4, 2, 1), nn.ELU(), nn.ConvTranspose2d(4, 1, 4, 2, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        code = self.narrow(self.encode(image))
        return torch.sigmoid(self.decode(self.widen(code).view(-1, 6, 4, 4)))


class TemporalConv(nn.Module):
    """Causal dilated convolutions with weight norm and residuals (Bai et al. 2018)."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        sizes = [(4, channels, 1), (channels, channels, 2)]
        self.layers = nn.ModuleList(norm(nn.Conv1d(a, b, 3, dilation=d)) for a, b, d in sizes)
        self.skips = nn.ModuleList(nn.Conv1d(a, b, 1) for a, b, _ in sizes)
        self.head = nn.Linear(channels, 3)

    def forward(self, series: Tensor) -> Tensor:
        x = series
        for layer, skip in zip(self.layers, self.skips, strict=True):
            y = F.pad(x, (2 * layer.dilation[0], 0))
            x = F.relu(F.relu(layer(y)) + skip(x))
        return self.head(x[:, :, -1])


def vgg16() -> Vgg:
    """As published: 16 layers with weights."""
    stages = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]
    return Vgg(stages, pooled=7, width=4096, classes=1000)


def _image(channels: int = 3, size: int = 16):
    def made(batch: int, length: int) -> Inputs:
        return {"image": numbers(batch, channels, size, size)}

    return made


def _noisy_image(batch: int, length: int) -> Inputs:
    return {"image": numbers(batch, 3, 4, 4), "step": torch.arange(batch) * 7 + 3}


def _series(batch: int, length: int) -> Inputs:
    return {"series": numbers(batch, 4, length)}


def _small_vgg() -> nn.Module:
    return Vgg([(6, 2), (8, 1)], pooled=3, width=12, classes=3)


def _small_efficientnet() -> nn.Module:
    stages = [(True, 1, 1, 4, 1), (True, 4, 2, 6, 2), (False, 4, 2, 8, 2)]
    return EfficientNetV2(stages, last=12, classes=3)


CONVOLUTIONAL = {
    "vgg": Entry(_small_vgg, _image()),
    "efficientnet_v2": Entry(_small_efficientnet, _image()),
    "unet": Entry(UNet, _image(size=8), target=at(1, 3, 2)),
    "diffusion_block": Entry(DiffusionBlock, _noisy_image, target=at(0, 1, 2)),
    "autoencoder": Entry(Autoencoder, _image(1), target=at(0, 5, 6)),
    "temporal_conv": Entry(TemporalConv, _series, length=True),
}
