"""SHAP values of three tools on the patterns where shap's own explainer does not add up.

    pip install shap captum
    python -m benchmarks.shap_values

Per net: the largest |sum of values - (output - mean output over the background)| as a part of the
largest output, or the exception. shap runs with its check of additivity switched off, and the
column beside says whether the check would raise. captum is `DeepLiftShap`, without any check.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from lrp_engine.integrations.shap import DeepExplainer
from tests.parity.nets import Plus, mlp
from tests.two_runs.test_shap import MODELS

Values = Callable[[], np.ndarray]
NETS = {"relu mlp": (lambda: mlp(Plus), (12,))} | MODELS


def ours(model: nn.Module, background: Tensor, x: Tensor) -> Values:
    """This package's explainer, captured beforehand."""
    explainer = DeepExplainer(model, background)
    return lambda: explainer.shap_values(x)


def shap_values(model: nn.Module, background: Tensor, x: Tensor, check: bool = False) -> Values:
    """shap's explainer."""
    import shap

    explainer = shap.DeepExplainer(model, background)
    return lambda: explainer.shap_values(x, check_additivity=check)


def captum_values(model: nn.Module, background: Tensor, x: Tensor) -> Values:
    """captum's DeepLiftShap, output by output."""
    from captum.attr import DeepLiftShap

    tool = DeepLiftShap(model)
    with torch.no_grad():
        outputs = range(model(x).shape[1])

    def run() -> np.ndarray:
        found = [tool.attribute(x, background, target=o).detach() for o in outputs]
        return torch.stack(found, -1).numpy()

    return run


def error_of(make: Callable[[], Values], wanted: np.ndarray, size: float) -> str:
    """The additivity error and the milliseconds of a call, or what was raised."""
    try:
        run = make()
        values = run()
        seconds = []
        for _ in range(3):
            start = perf_counter()
            run()
            seconds.append(perf_counter() - start)
    except Exception as error:  # what other tools raise is what is asked here
        return f"{type(error).__name__}: {str(error).splitlines()[0][:60]}"
    sums = values.reshape(len(wanted), -1, wanted.shape[1]).sum(1)
    return f"{np.abs(sums - wanted).max() / size:.1e} ({median(seconds) * 1e3:.0f} ms)"


def measure(name: str, samples: int, references: int) -> list[str]:
    """The cells of one row."""
    torch.manual_seed(0)
    build, shape = NETS[name]
    model = build().eval()
    x, background = torch.randn(samples, *shape), torch.randn(references, *shape)
    with torch.no_grad():
        outputs, base = model(x).numpy(), model(background).numpy().mean(0)
    wanted, size = outputs - base, float(np.abs(outputs).max())
    makers = [partial(tool, model, background, x) for tool in (ours, shap_values, captum_values)]
    checked = error_of(partial(shap_values, model, background, x, check=True), wanted, size)
    own, other, captum = (error_of(make, wanted, size) for make in makers)
    return [own, other, "passes" if "ms)" in checked else checked, captum]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--references", type=int, default=16)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    print("| net | this package | shap | shap with its check | captum DeepLiftShap |")
    print("|---|---|---|---|---|")
    for name in NETS:
        cells = measure(name, args.samples, args.references)
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
