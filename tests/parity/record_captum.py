"""Records captum's DeepLift on nets of rectifiers, where its rescale rule is the same as ours.

    pip install --no-deps captum==0.9.0
    python -m tests.parity.record_captum            # writes tests/parity/captum.safetensors
    python -m tests.parity.record_captum --check    # computes anew and compares with that file

On other nets the two differ: captum knows a list of modules, passes gradients through all else, and
gives max pooling a rule of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .nets import Block, Plus, mlp, vgg_bn

FILE = Path(__file__).with_name("captum.safetensors")
TARGET = [1, 0, 3]


def strided() -> nn.Module:
    """Convolutions that shrink the image themselves, with groups."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 3, groups=2),
        nn.ReLU(), nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4),
    )  # fmt: skip


def residual() -> nn.Module:
    """Two residual blocks with batch norm."""
    return nn.Sequential(
        Block(3, 4, 1, Plus), Block(4, 4, 2, Plus), nn.AvgPool2d(3), nn.Flatten(), nn.Linear(4, 4)
    )


NETS = {
    "mlp": (lambda: mlp(Plus), (12,)),
    "strided": (strided, (3, 6, 6)),
    "batch_norm": (lambda: vgg_bn(Plus), (3, 6, 6)),
    "residual": (residual, (3, 6, 6)),
}


def rebuild(name: str, values: Mapping[str, Tensor]) -> nn.Module:
    """A net with recorded weights."""
    model = NETS[name][0]().double()
    start = f"{name}/weights/"
    model.load_state_dict({k.removeprefix(start): v for k, v in values.items() if start in k})
    return model.eval()


def draw() -> dict[str, Tensor]:
    """Weights, statistics, inputs and baselines."""
    torch.manual_seed(0)
    found: dict[str, Tensor] = {}
    for name, (build, shape) in NETS.items():
        model = build().double()
        for part in model.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
        found |= {f"{name}/weights/{k}": v.detach().clone() for k, v in model.state_dict().items()}
        for kind in ("input", "baseline"):
            found[f"{name}/{kind}"] = torch.randn(3, *shape, dtype=torch.float64)
    return found


def attribute(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What captum gives for every net."""
    from captum.attr import DeepLift

    found = {}
    for name in NETS:
        x, baseline = values[f"{name}/input"], values[f"{name}/baseline"]
        tool = DeepLift(rebuild(name, values))
        found[f"{name}/relevance"] = tool.attribute(x, baseline, target=TARGET).detach()
    return found


def main() -> None:
    """Record, or compare with what is recorded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        drawn = draw()
        save_file(drawn | attribute(drawn), FILE)
        return
    known = load_file(FILE)
    for name, found in attribute(known).items():
        torch.testing.assert_close(found, known[name], rtol=1e-10, atol=1e-12)
        print(f"{name}: as recorded")


if __name__ == "__main__":
    main()
