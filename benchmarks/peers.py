"""Whole explanations beside those of other tools, float32, in one alternating run.

    pip install --no-deps zennit==0.5.1 captum==0.9.0 autolrp==0.2.0 lxt==2.1
    python -m benchmarks.peers [--rounds N] [--models NAME ...] [--batch N] [--threads N]
        [--device cuda]

Contestants of one model run once per round, in turn. Each has a model of its own with the same
weights, so that nobody's hooks or patches slow down another, and is set up once: hooks stay
registered between zennit's calls, and our engine is planned. A tool that is not installed or that
cannot explain the model gives a row that says so. The last columns compare relevance with ours
under the preset of the same name: the largest difference over the largest entry, and Pearson's r.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import lrp_engine as lrp
from tests.zoo import convolutional

from .models import gpt2_small, vit_base
from .peer_tools import CLASS, explain_autolrp, explain_captum, explain_zennit, logits, lxt_patches
from .residual import Join, Plus, ResNet50
from .timing import alternate

Explain = Callable[[], Tensor]
LOW, HIGH = -3.0, 3.0
COMPOSITES = ("epsilon_plus", "epsilon_gamma_box")


@dataclass
class Contest:
    """What runs on one model: contestants by name, and whose relevance each is compared with."""

    runs: dict[str, Callable[[], Any]] = field(default_factory=dict)
    like: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, make: Callable[[], Callable[[], Any]], like: str = "") -> None:
        """Sets a contestant up and runs it once; one that cannot is noted with its error."""
        try:
            run = make()
            run()
        except Exception as error:
            first = (str(error).strip() or "no message").splitlines()[0]
            self.failed[name] = f"{type(error).__name__}: {first[:110]}"
            return
        self.runs[name] = run
        if like:
            self.like[name] = like


def forward(model: nn.Module, x: Tensor) -> Explain:
    """The model alone."""

    def run() -> Tensor:
        with torch.no_grad():
            return logits(model(x))

    return run


def plain(model: nn.Module, x: Tensor) -> Explain:
    """Forward, one logit, gradient with respect to the input, times the input."""

    def run() -> Tensor:
        leaf = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(logits(model(leaf))[:, CLASS].sum(), leaf)
        return gradient * x

    return run


def ours(model: nn.Module, inputs: Any, preset: str, position: int | None = None) -> Explain:
    """A whole explanation, checks of inputs and outputs included; kept values as they come."""
    given = {"low": LOW, "high": HIGH} if preset.endswith("box") else {}
    engine = lrp.Engine(model, inputs, preset=lrp.load_preset(preset, **given), policy="keep")

    def run() -> Tensor:
        return engine.explain(inputs, CLASS, position=position).relevance["input"]

    return run


def images(build: Callable[[Join], nn.Module], batch: int) -> Contest:
    """A convolutional net: the composites that zennit and we both have, and LRP-epsilon."""
    x = torch.randn(batch, 3, 224, 224)
    base = build(Plus)
    calibrate(base)

    def of(join: Join = Plus) -> nn.Module:
        model = build(join)
        model.load_state_dict(base.state_dict(), assign=True)
        return model.eval().requires_grad_(False)

    contest = Contest()
    contest.add("plain forward", lambda: forward(of(), x))
    contest.add("plain input gradient", lambda: plain(of(), x))
    for preset in COMPOSITES:
        mine = f"ours, {preset}"
        contest.add(mine, partial(ours, of(), x, preset))
        contest.add(
            f"zennit, {preset}", partial(explain_zennit, of, x, preset, (LOW, HIGH)), like=mine
        )
    contest.add("ours, epsilon", lambda: ours(of(), x, "epsilon"))
    contest.add("captum LRP (epsilon)", lambda: explain_captum(of, x), like="ours, epsilon")
    if batch == 1:  # it couples the samples of a batch
        convolution = {"ConvolutionBackward": "zplus"}
        contest.add("autoLRP, default", lambda: explain_autolrp(of(), x), like="ours, epsilon")
        contest.add(
            "autoLRP, z+", lambda: explain_autolrp(of(), x, convolution), like="ours, epsilon_plus"
        )
    return contest


class Embedded(nn.Module):
    """A transformer as a function of one tensor: its embeddings or its pixels."""

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name

    def forward(self, x: Tensor) -> Tensor:
        """Its scores."""
        found: Tensor = self.model(**{self.name: x}).logits
        return found


def transformer(make: Callable[[], tuple[nn.Module, dict[str, Tensor]]], batch: int) -> Contest:
    """AttnLRP by those who have it; the tools for modules are tried."""
    model, inputs = make()
    model.eval().requires_grad_(False)
    x, name, position = next(iter(inputs.values())), "pixel_values", None
    if "input_ids" in inputs:
        x = model.get_input_embeddings()(x).detach()  # type: ignore[operator]
        name, position = "inputs_embeds", -1

    def of(_join: Join = Plus) -> nn.Module:
        return Embedded(copy.deepcopy(model), name).eval()

    contest = Contest()
    contest.add("plain forward", lambda: forward(of(), x))
    contest.add("plain input gradient", lambda: plain(of(), x))
    contest.add("ours, attnlrp", lambda: ours(copy.deepcopy(model), inputs, "attnlrp", position))
    contest.add("LXT, AttnLRP", lambda: patched(plain(of(), x)), like="ours, attnlrp")
    contest.add(
        "autoLRP, AttnLRP",
        lambda: explain_autolrp(of(), x, preset="attnlrp"),
        like="ours, attnlrp",
    )
    contest.add("captum LRP", lambda: explain_captum(of, x))
    contest.add("zennit, epsilon_plus", lambda: explain_zennit(of, x, "epsilon_plus", (LOW, HIGH)))
    return contest


def patched(run: Explain) -> Explain:
    """LXT explains by the plain gradient of patched classes; here only while it runs."""
    places = lxt_patches()

    def under() -> Tensor:
        with swapped(places):
            return run()

    return under


@contextlib.contextmanager
def swapped(places: list[tuple[Any, str, Any]]) -> Iterator[None]:
    """Attributes take other values for a while."""
    before = [(where, name, vars(where).get(name)) for where, name, _ in places]
    for where, name, value in places:
        setattr(where, name, value)
    try:
        yield
    finally:
        for where, name, value in before:
            if value is None:
                delattr(where, name)
            else:
                setattr(where, name, value)


def calibrate(model: nn.Module) -> None:
    """Weights and batch-norm statistics that keep activations of order one."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.05)
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model.train()(torch.randn(4, 3, 224, 224))
    model.eval()


def vgg16(_join: Join) -> nn.Module:
    """VGG16 whose rectifiers write to tensors of their own, as captum needs it."""
    model = convolutional.vgg16()
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return model


MODELS: dict[str, Callable[[int], Contest]] = {
    "VGG16": lambda batch: images(vgg16, batch),
    "ResNet-50": lambda batch: images(ResNet50, batch),
    "ViT-B": lambda batch: transformer(vit_base, batch),
    "GPT-2 small": lambda batch: transformer(gpt2_small, batch),
}


def agreement(contest: Contest) -> dict[str, str]:
    """Each peer's relevance beside ours."""
    found = {}
    for name, mine in contest.like.items():
        if mine not in contest.runs:
            continue
        a, b = (contest.runs[n]().detach().double().flatten() for n in (name, mine))
        error = float((a - b).abs().max() / b.abs().max())
        r = float(torch.corrcoef(torch.stack([a, b]))[0, 1])
        found[name] = f"{error:.1e} | {r:.5f}"
    return found


def compare(models: list[str]) -> None:
    """Prints how near each peer is to us without timing; in float64 rounding flips no choice."""
    print("| model | run | largest difference from ours | r |\n|---|---|---|---|")
    for name in models:
        torch.manual_seed(0)
        for way, cells in agreement(MODELS[name](1)).items():
            print(f"| {name} | {way} | {cells} |", flush=True)


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compare", choices=("float32", "float64"), help="time nothing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_default_device(options.device)
    if options.compare:
        torch.set_default_dtype(getattr(torch, options.compare))
        compare(options.models)
        return
    print("| model | run | ms | ratio to plain | largest difference from ours | r |")
    print("|---|---|---|---|---|---|")
    for name in options.models:
        torch.manual_seed(0)
        contest = MODELS[name](options.batch)
        load = f"{os.getloadavg()[0]:.1f}"
        times = alternate(contest.runs, rounds=options.rounds, warm_up=1)
        near, base = agreement(contest), times["plain input gradient"].median
        for way, timing in times.items():
            cells = f"{timing} | {timing.median / base:.2f} | {near.get(way, ' | ')}"
            print(f"| {name} | {way} | {cells} |", flush=True)
        for way, error in contest.failed.items():
            print(f"| {name} | {way} | does not run: {error} | | | |", flush=True)
        print(f"(load before {load}, after {os.getloadavg()[0]:.1f})", flush=True)


if __name__ == "__main__":
    main()
