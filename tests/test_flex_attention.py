"""FlexAttention is read as attention with the mask that it stands for; all else is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import AuxRequest, create_block_mask, flex_attention
from transformers import LlamaConfig, LlamaForCausalLM

import lrp_engine as lrp
from lrp_engine.capture import Captured
from lrp_engine.errors import CaptureError, InputError
from lrp_engine.graphs.nodes import target_name
from lrp_engine.graphs.schema import bind
from tests.references import models
from tests.support import assert_close, draw, seeded

HEADS, WIDTH = 4, 3
FUSED = torch.ops.aten.scaled_dot_product_attention.default


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Torch keeps what it compiled for FlexAttention; a later capture would take over its sizes."""
    torch._dynamo.reset()


class Layer(nn.Module):
    """One attention layer, by FlexAttention or with the mask written out."""

    def __init__(self, mask: Any, groups: int = 1, flex: bool = True, **settings: Any) -> None:
        super().__init__()
        self.query = nn.Linear(5, HEADS * WIDTH)
        self.sides = nn.Linear(5, 2 * HEADS * WIDTH // groups)
        self.mask, self.groups, self.flex, self.settings = mask, groups, flex, settings
        self.register_buffer("seen", torch.tensor([True, True, False, True, True, True]))

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        q = self.query(x).unflatten(-1, (HEADS, WIDTH)).transpose(1, 2)
        k, v = self.sides(x).unflatten(-1, (-1, WIDTH)).transpose(1, 2).chunk(2, 1)
        attended = (self.flexible if self.flex else self.plain)(q, k, v, padding)
        return attended.transpose(1, 2).flatten(2).sin().sum(1)

    def flexible(self, q: Tensor, k: Tensor, v: Tensor, padding: Tensor | None) -> Tensor:
        def mask(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
            return self.mask(self.seen, padding, b, h, i, j)

        sizes = (q.shape[0], HEADS, q.shape[2], q.shape[2])
        blocks = self.mask and create_block_mask(mask, *sizes, device="cpu")
        grouped = self.groups > 1
        result = flex_attention(q, k, v, block_mask=blocks, enable_gqa=grouped, **self.settings)
        return result[0] + result[1].lse[..., None] if isinstance(result, tuple) else result

    def plain(self, q: Tensor, k: Tensor, v: Tensor, padding: Tensor | None) -> Tensor:
        k, v = (x.repeat_interleave(self.groups, 1) for x in (k, v))
        sizes = (q.shape[0], HEADS, q.shape[2], q.shape[2])
        places = [torch.arange(n).view([-1] + [1] * (3 - i)) for i, n in enumerate(sizes)]
        mask = self.mask(self.seen, padding, *places).expand(sizes) if self.mask else None
        return F.scaled_dot_product_attention(q, k, v, mask)


def causal(seen: Any, padding: Any, b: Any, h: Any, i: Any, j: Any) -> Any:
    return i >= j


def everything(seen: Any, padding: Any, b: Any, h: Any, i: Any, j: Any) -> Any:
    return i >= 0 * j


def of_a_buffer(seen: Any, padding: Any, b: Any, h: Any, i: Any, j: Any) -> Any:
    return (i >= j) & seen[j]


def of_an_input(seen: Any, padding: Any, b: Any, h: Any, i: Any, j: Any) -> Any:
    return padding[b, j]


def of_the_head(seen: Any, padding: Any, b: Any, h: Any, i: Any, j: Any) -> Any:
    return (i >= j) & (i - j <= h)


def pair(mask: Any, **settings: Any) -> tuple[nn.Module, nn.Module]:
    """The same weights, by FlexAttention and with the mask written out."""
    flex, plain = (seeded(lambda f=f: Layer(mask, flex=f, **settings)) for f in (True, False))
    return flex, plain


def attention_of(captured: Captured) -> list[tuple[Any, Any]]:
    """(mask, is_causal) of every attention op."""
    nodes = captured.graph.find_nodes(op="call_function", target=FUSED)
    calls = [bind(node.target, node.args, node.kwargs) for node in nodes]
    return [(call["attn_mask"], call["is_causal"]) for call in calls]


def assert_agree(engines: list[lrp.Engine], inputs: Any, **target: Any) -> None:
    ours, theirs = (engine.explain(inputs, **target) for engine in engines)
    for name, relevance in theirs.relevance.items():
        assert_close(ours.relevance[name], relevance)


# --- what is read --------------------------------------------------------------------------------


@pytest.mark.parametrize("mask, groups", [(causal, 1), (causal, 2), (everything, 4), (None, 1)])
def test_a_mask_that_is_causal_or_says_nothing_is_left_to_the_kernel(
    mask: Any, groups: int
) -> None:
    both = pair(mask, groups=groups)
    engines = [lrp.Engine(model, draw(2, 6, 5)) for model in both]
    assert attention_of(engines[0].captured) == [(None, mask is causal)]
    for shape in [(2, 6, 5), (3, 9, 5), (1, 7, 5)]:
        assert_agree(engines, draw(*shape, seed=1), target=2)


@pytest.mark.parametrize("mask", [of_a_buffer, of_the_head])
def test_any_other_mask_stays(mask: Any) -> None:
    engines = [lrp.Engine(model, draw(2, 6, 5)) for model in pair(mask, groups=2)]
    assert_agree(engines, draw(3, 6, 5, seed=1), target=2)


def test_a_mask_may_read_an_input() -> None:
    padding = torch.ones(2, 6, dtype=torch.bool)
    padding[1, 4:] = False
    engines = [lrp.Engine(m, {"x": draw(2, 6, 5), "padding": padding}) for m in pair(of_an_input)]
    assert_agree(engines, {"x": draw(2, 6, 5, seed=1), "padding": padding}, target=2)
    padding[0] = False  # a sample that sees nothing
    assert_agree(engines, {"x": draw(2, 6, 5, seed=1), "padding": padding}, target=2)


def test_a_log_sum_exp_that_nothing_reads_is_let_go() -> None:
    """As in transformers on a GPU, where the model asks for it and converts it."""

    class LetsGo(Layer):
        def flexible(self, q: Tensor, k: Tensor, v: Tensor, padding: Tensor | None) -> Tensor:
            result, aux = flex_attention(q, k, v, return_aux=AuxRequest(lse=True))
            aux.lse.to(torch.float16)
            return result

    engines = [
        lrp.Engine(seeded(lambda: LetsGo(None)), draw(2, 6, 5)),
        lrp.Engine(pair(None)[1], draw(2, 6, 5)),
    ]
    assert_agree(engines, draw(3, 6, 5, seed=1), target=2)


def test_nothing_is_left_of_the_block_mask() -> None:
    engines = [lrp.Engine(m, draw(2, 6, 5), dynamic=False) for m in pair(causal)]
    ops = [{target_name(n) for n in engine.captured.graph.nodes} for engine in engines]
    assert ops[0] <= ops[1]


def test_the_result_says_that_another_kernel_computed_it() -> None:
    model, _ = pair(causal)
    explanation = lrp.Engine(model, draw(2, 6, 5), dynamic=False).explain(draw(2, 6, 5), target=0)
    assert "taken apart: flex_attention" in explanation.provenance.notes
    with torch.no_grad():
        assert_close(explanation.output, model(draw(2, 6, 5)))


def test_blocks_that_say_more_than_their_mask_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a compiled kernel skips blocks that the mask does not: the first call compares."""
    model, _ = pair(causal)
    engine = lrp.Engine(model, draw(2, 6, 5), dynamic=False)
    monkeypatch.setitem(globals(), "flex_attention", lambda q, k, v, **_: 2 * v)
    with pytest.raises(CaptureError, match="flex_attention was decomposed"):
        engine.explain(draw(2, 6, 5), target=0)


def test_what_a_mask_reads_of_its_model_is_watched() -> None:
    """Masks are traced by torch._dynamo, which looks attributes up in its own way."""

    def window(seen: Any, padding: Any, b: Any, h: Any, i: Any, j: Any) -> Any:
        return (i >= j) & (i - j <= model.groups + model.query.reach)

    model = seeded(lambda: Layer(window))
    model.query.reach = 1  # type: ignore[assignment]
    engine = lrp.Engine(model, draw(2, 6, 5))
    engine.explain(draw(2, 6, 5), target=2)
    model.query.reach = 2  # type: ignore[assignment]
    with pytest.raises(InputError, match=r"module 'query': 'reach' was 1 and is 2"):
        engine.explain(draw(2, 6, 5), target=2)


def test_a_transformer_explains_as_with_its_other_attention() -> None:
    engines = []
    with models.FullDouble():
        for name in ("flex_attention", "sdpa"):
            model, inputs = models.llama(attn_implementation=name)
            engines.append(lrp.Engine(model, inputs))
    # Uncompiled, since the compiled kernel for the CPU knows no float64.
    with models.FullDouble(), torch.compiler.set_stance("force_eager"):
        for batch, length in [(2, 6), (3, 9), (1, 4)]:
            inputs = models.tokens(1, batch, length)
            assert_agree(engines, inputs, target=3, position=-1)
    assert attention_of(engines[0].captured) == 2 * [(None, True)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-4), (torch.bfloat16, 3e-2)])
def test_a_transformer_on_a_gpu(dtype: torch.dtype, tolerance: float) -> None:
    """The compiled kernel serves the model; the engine's attention is the fused one."""
    engines = []
    for name in ("flex_attention", "sdpa"):
        config = LlamaConfig(
            vocab_size=models.VOCABULARY,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            attn_implementation=name,
        )
        model = seeded(LlamaForCausalLM, config, dtype=dtype).cuda()
        given = {k: v.cuda() for k, v in models.tokens(0, 2, 6).items()}
        engines.append(lrp.Engine(model, given))
    assert attention_of(engines[0].captured) == 2 * [(None, True)]
    for batch, length in [(2, 6), (3, 100), (1, 4)]:
        given = {k: v.cuda() for k, v in models.tokens(1, batch, length).items()}
        ours, theirs = (e.explain(given, target=3, position=-1).relevance for e in engines)
        assert_close(ours["input_ids"], theirs["input_ids"], tolerance)


# --- what is refused -----------------------------------------------------------------------------


def biased(score: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
    return score + (i - j)


@pytest.mark.parametrize(
    "settings, why",
    [
        ({"score_mod": biased}, "its score_mod changes the scores"),
        ({"return_aux": AuxRequest(lse=True)}, "its log-sum-exp or its maximum is used"),
    ],
)
def test_what_a_mask_cannot_say_is_refused(settings: dict[str, Any], why: str) -> None:
    model = nn.Sequential(seeded(lambda: Layer(causal, **settings))).eval()
    with pytest.raises(CaptureError, match=why) as refusal:
        lrp.Engine(model, draw(2, 6, 5), dynamic=False)
    assert "flex_attention in 0 (Layer)" in str(refusal.value)
    assert 'attn_implementation="sdpa"' in str(refusal.value)


def test_another_op_with_a_graph_of_its_own_is_refused() -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,)).sum(1)

    with pytest.raises(CaptureError, match=r"cond in 0 \(Branch\), .*test_flex_attention.py"):
        lrp.Engine(nn.Sequential(Branch()).eval(), draw(2, 3))


def test_a_model_that_does_not_run_itself_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where no compiled kernel serves the dtype: there is nothing then to compare with."""

    def fails(*args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("no kernel for float64")

    model, _ = pair(causal)
    engine = lrp.Engine(model, draw(2, 6, 5), dynamic=False)
    monkeypatch.setitem(globals(), "flex_attention", fails)
    with pytest.raises(InputError, match=r"the model itself fails .* no kernel for float64"):
        engine.explain(draw(2, 6, 5), target=0)


def test_a_transformer_that_looks_into_its_padding_is_told_what_helps() -> None:
    model, inputs = models.llama(attn_implementation="flex_attention")
    padding = torch.ones(2, 6, dtype=torch.long)
    padding[1, 4:] = 0
    refused = pytest.raises(CaptureError, match='attn_implementation="sdpa"')
    # The model itself, which is asked first, cannot compile its attention in double precision.
    with torch.compiler.set_stance("force_eager"), models.FullDouble(), refused:
        lrp.Engine(model, inputs | {"attention_mask": padding}, dynamic=False)
