"""Vision models that nobody chose: one or two of every family of timm, smallest first.

    pip install torch torchvision timm
    python -m benchmarks.timm_models [--families NAME ...] [--timeout SECONDS]

Each model runs in a process of its own, random weights, float32, its own image size: capture, the
presets gradient, attnlrp with its ledger, epsilon and epsilon_plus, and a batch of three. A row
says whether the output is the model's own to the bit, how far the coefficients of the preset
`gradient` are from torch's derivative (which is wrong itself for some, see docs/tolerances.md), the
ledger's residual over the sum of |explained| (nan where a head starts with zeros), and what failed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Any

import torch

import lrp_engine as lrp

LARGEST = 150e6  # parameters
PER_FAMILY = 2
CLASS = 3


def chosen(families: list[str]) -> list[str]:
    """The smallest models of every family, no two of one name but for its numbers."""
    import timm
    from timm.models import list_modules

    names = []
    for family in families or list_modules():
        sized = []
        for name in timm.list_models(module=family):
            with torch.device("meta"):
                sized.append((_parameters(timm.create_model(name)), name))
        kinds: dict[str, str] = {}
        for size, name in sorted(sized):
            if size < LARGEST and len(kinds) < PER_FAMILY:
                kinds.setdefault(name.split("_")[0].rstrip("0123456789"), name)
        names += list(kinds.values())
    return names


def _parameters(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


def row(name: str) -> str:
    """One model's cells."""
    import timm

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = timm.create_model(name, num_classes=10).eval().requires_grad_(False)
    x = torch.randn(1, *model.default_cfg["input_size"])
    engine = lrp.Engine(model, {"x": x}, preset="gradient")
    found = engine.explain({"x": x}, CLASS)
    with torch.no_grad():
        same = torch.equal(found.output, model(x))
        three = x.repeat(3, 1, 1, 1) * torch.tensor([1.0, 0.5, -1.0])[:, None, None, None]
        same &= torch.equal(engine.explain({"x": three}, CLASS).output, model(three))
    given = x.clone().requires_grad_()
    (true,) = torch.autograd.grad(model(given)[:, CLASS].sum(), given)
    apart = float((found.coefficient["x"] - true).norm() / true.norm())
    ledger = engine.with_preset("attnlrp").explain({"x": x}, CLASS, ledger=True).ledger
    residual = abs(ledger.residual) / (float(found.explained.abs().sum()) or float("nan"))
    for preset in ("epsilon", "epsilon_plus"):
        relevance = engine.with_preset(preset).explain({"x": x}, CLASS).relevance["x"]
        assert relevance.isfinite().all(), f"{preset}: not finite"
    return f"{'to the bit' if same else 'rounded'} | {apart:.1e} | {residual:.1e}"


def main() -> None:
    """Prints a Markdown table, row by row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--families", nargs="*", default=[])
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("--one", help="this model, in this process")
    options = parser.parse_args()
    if options.one:
        print(f"| {options.one} | {row(options.one)} |", flush=True)
        return
    print("| model | output | from torch's gradient | residual |\n|---|---|---|---|", flush=True)
    for name in chosen(options.families):
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.timm_models", "--one", name]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=options.timeout)
            failed = run.stderr.strip() or f"exit status {run.returncode}"
            said = run.stdout.strip() or f"| {name} | {failed.splitlines()[-1]} | | |"
        except subprocess.TimeoutExpired:
            said = f"| {name} | longer than {options.timeout:.0f} s | | |"
        print(said.splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
