"""What is timed on a GPU, by name: `[row:][MODE:]WHAT[/POLICY]`.

WHAT is `forward` (the model alone), `plain` (its input gradient) or `ours` (one explanation, under
a POLICY, default keep). MODE is torch.compile's: `default`, `reduce-overhead`; none is eager. With
`row:` a language model computes its output at the last position only, as `explain` does unless it
is told otherwise; without, all of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

import lrp_engine as lrp
from lrp_engine.promises.costs import Costs
from lrp_engine.run.inputs import flatten_inputs

from .models import ON_GPU

CLASS = 7
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Run = Callable[[], Any]
Inputs = dict[str, torch.Tensor]
_NAME = re.compile(
    r"(?P<row>row:)?((?P<mode>[\w-]+):)?(?P<what>forward|plain|ours)(/(?P<policy>\w+))?"
)


def load(name: str) -> Any:
    """A model of published size in bfloat16 (on the CPU where there is no GPU: to try scripts)."""
    torch.manual_seed(0)
    with torch.device(DEVICE):
        torch.set_default_dtype(torch.bfloat16)
        model, _ = ON_GPU[name]()
        torch.set_default_dtype(torch.float32)
    return model.to(torch.bfloat16).eval().requires_grad_(False)


def drawn(model: Any, batch: int, tokens: int) -> Inputs:
    """Inputs of one size: token ids, or images in the model's dtype."""
    words = getattr(model.config, "vocab_size", None)
    if words:
        return {"input_ids": torch.randint(0, words, (batch, tokens), device=DEVICE)}
    return {"pixel_values": torch.randn(batch, 3, 224, 224, device=DEVICE, dtype=torch.bfloat16)}


@dataclass
class Contestants:
    """Runs of one model on one input; engines of one mode share their capture."""

    model: Any
    inputs: Inputs
    engines: dict[str | None, lrp.Engine] = field(default_factory=dict)

    def run(self, name: str) -> Run:
        """The run of a name."""
        parts = self._parts(name)
        row = {"logits_to_keep": 1} if parts["row"] else {}
        if parts["what"] == "ours":
            engine = self.engine(name)
            position = -1 if "input_ids" in self.inputs else None
            options = {"position": position, "full_output": None if row else True}
            return lambda: engine.explain(self.inputs, CLASS, **options).per_token()
        if parts["what"] == "forward":
            return self._forward(parts["mode"], row)
        return self._plain(parts["mode"], row)

    def engine(self, name: str) -> lrp.Engine:
        """The engine behind a name. Compiled ones are captured at fixed sizes."""
        parts = self._parts(name)
        mode = parts["mode"]
        if mode not in self.engines:
            compiled = {None: False, "default": True}.get(mode, mode)
            self.engines[mode] = lrp.Engine(
                self.model, self.inputs, compile=compiled, dynamic=mode is None
            )
        return self.engines[mode].with_policy(parts["policy"] or "keep")

    def operations(self, name: str) -> int:
        """Floating-point operations in the products and attentions of a run, each done once."""
        if self._parts(name)["what"] == "forward":
            return 0
        engine = self.engine("ours")
        pairs, leaves = engine._explainer.pairs, flatten_inputs(engine.captured, self.inputs)
        words = "input_ids" in self.inputs
        alone = words and name.startswith("row:")
        pair = pairs.only_row if alone else (words and pairs.at_row) or pairs.whole
        costs, program = Costs(engine.captured.shapes.sizes(leaves)), pair.wanted.program
        calls = (n for g in (program.forward.graph, program.relevance.graph) for n in g.nodes)
        return sum(costs.flops(n) for n in calls if is_op(n))

    @staticmethod
    def _parts(name: str) -> dict[str, Any]:
        found = _NAME.fullmatch(name)
        if found is None:
            raise SystemExit(f"no run is called {name!r}; {__doc__}")
        return found.groupdict()

    def _forward(self, mode: str | None, options: dict[str, int]) -> Run:
        (name,) = self.inputs
        step = _compiled(lambda x: self.model(**{name: x}, **options).logits, mode)

        def run() -> torch.Tensor:
            with torch.no_grad():
                return step(self.inputs[name])

        return run

    def _plain(self, mode: str | None, options: dict[str, int]) -> Run:
        images, model = "pixel_values" in self.inputs, self.model

        def logit(x: torch.Tensor) -> torch.Tensor:
            if images:
                return model(pixel_values=x).logits[:, CLASS].sum()
            logits = model(inputs_embeds=x, use_cache=False, **options).logits
            return logits[:, -1, CLASS].sum()

        step = _compiled(logit, mode)

        def run() -> torch.Tensor:
            (given,) = self.inputs.values()
            x = (given if images else model.get_input_embeddings()(given)).detach()
            (gradient,) = torch.autograd.grad(step(x.requires_grad_()), x)
            return (gradient * x).sum(-1)

        return run


def is_op(node: torch.fx.Node) -> bool:
    """Whether a node calls an ATen op."""
    return isinstance(node.target, torch._ops.OpOverload)


def _compiled(step: Callable[[torch.Tensor], Any], mode: str | None) -> Callable[..., Any]:
    """The step as it is, or through torch.compile; under CUDA graphs every call is a new step."""
    if mode is None:
        return step
    run = torch.compile(step, fullgraph=True, mode=None if mode == "default" else mode)

    def marked(x: torch.Tensor) -> Any:
        torch.compiler.cudagraph_mark_step_begin()
        return run(x)

    return marked
