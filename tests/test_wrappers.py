"""Models in the wrappers that people have around them, caches as inputs, settings that steer."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.circuits import CircuitModel
from lrp_engine.errors import InputError, PackageError

from .support import draw, seeded


class ByGrid(nn.Module):
    """Reads a size off an integer input by .tolist(), and selects by a mask, as Qwen-VL does."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.linear = nn.Embedding(9, 4), nn.Linear(4, 3, bias=False)

    def forward(self, ids: Tensor, grid: Tensor, keep: Tensor) -> Tensor:
        positions = torch.zeros(ids.shape[1], dtype=torch.long)
        count = torch.arange(len(ids[0][keep])) + grid[0].prod() - grid[0].prod()
        positions[keep] = count
        weights = torch.tensor([1.0 + p for p in positions.tolist()])
        rows, columns = grid.tolist()[0]
        embedded = self.table(ids) * weights.view(rows * columns, 1)
        return self.linear(embedded.sum(1))


def by_grid() -> tuple[nn.Module, dict[str, Tensor]]:
    ids = torch.tensor([[1, 2, 3, 4, 5, 6]])
    keep = torch.tensor([True, False, True, True, True, False])
    return seeded(ByGrid).eval(), {"ids": ids, "grid": torch.tensor([[2, 3]]), "keep": keep}


def test_settings_are_held_to_their_values():
    model, inputs = by_grid()
    engine = lrp.Engine(model, inputs)
    assert set(engine.captured.held) == {"grid", "keep"}
    assert any("held to the values of the example: grid, keep" in n for n in engine.captured.notes)
    explanation = engine.explain(inputs, 1)
    explanation.check()
    weights = torch.tensor([1.0, 1.0, 2.0, 3.0, 4.0, 1.0], dtype=model.linear.weight.dtype)
    by_hand = model.table(inputs["ids"]) * weights[:, None] * model.linear.weight[1]
    torch.testing.assert_close(explanation.relevance["ids"], by_hand.detach())


def test_other_values_of_a_setting_are_refused():
    model, inputs = by_grid()
    engine = lrp.Engine(model, inputs)
    engine.explain(inputs | {"ids": inputs["ids"].flip(1)}, 0).check()
    with pytest.raises(InputError, match=r"'grid' steer what the model computes.*\[\[2, 3\]\]"):
        engine.explain(inputs | {"grid": torch.tensor([[3, 2]])}, 0)
    with pytest.raises(PackageError, match="captured for one value of grid, keep"):
        engine.package("never_written.pt2", inputs)


def test_a_forward_passed_off_as_the_class_function():
    """As nnsight leaves it on the modules that it has traced."""
    model, x = seeded(lambda: nn.Linear(5, 3)).eval(), draw(4, 5)
    expected = lrp.Engine(model, x).explain(x, 0).relevance["input"]

    class Controller:
        def __call__(self, *args: object, **kwargs: object) -> object:
            return nn.Linear.forward(model, *args, **kwargs)

    controller = Controller()
    functools.update_wrapper(controller, nn.Linear.forward)
    model.forward = controller
    found = lrp.Engine(model, x).explain(x, 0).relevance
    torch.testing.assert_close(found["input"], expected)


@pytest.mark.slow
def test_a_cache_of_keys_and_values_is_an_input():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(vocab_size=13, n_embd=8, n_layer=1, n_head=2, n_positions=16)
    config.bos_token_id = config.eos_token_id = None
    model = seeded(lambda: transformers.GPT2LMHeadModel(config)).eval()
    cache = model(torch.arange(5)[None], use_cache=True).past_key_values
    inputs = {"input_ids": torch.tensor([[7, 8]]), "past_key_values": cache}
    engine = lrp.Engine(model, inputs, preset="gradient")
    explanation = engine.explain(inputs, 3, position=-1)
    explanation.check()
    assert cache.get_seq_length() == 5  # the user's cache is not written to

    leaves = [t.detach().requires_grad_() for t in (cache.layers[0].keys, cache.layers[0].values)]
    again = transformers.DynamicCache(ddp_cache_data=[tuple(leaves)])
    logits = model(inputs["input_ids"], past_key_values=again).logits
    for name, gradient in zip(
        ("keys", "values"), torch.autograd.grad(logits[0, -1, 3], leaves), strict=True
    ):
        found = explanation.coefficient[f"past_key_values.0.{name}"]
        torch.testing.assert_close(found, gradient)

    longer = model(torch.arange(7)[None], use_cache=True).past_key_values
    text = {"input_ids": torch.tensor([[7, 8, 9]]), "past_key_values": longer}
    *_, last = lrp.explain_generation(engine, text, start=1)
    logits = model(torch.arange(10)[None]).logits
    torch.testing.assert_close(last.explanation.explained, logits[:, -2, 9])
    assert last.explanation.relevance["past_key_values.0.values"].shape == (1, 2, 7, 4)


def test_a_cache_that_is_more_than_keys_and_values_is_refused():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(vocab_size=13, n_embd=8, n_layer=1, n_head=2)
    cache = transformers.StaticCache(config=config, max_cache_len=8)
    with pytest.raises(InputError, match="StaticCache"):
        lrp.Engine(lambda x, cache: x.exp(), {"x": draw(2, 3), "cache": cache})


class Renaming(nn.Module):
    """Gives its weights other names in its listings, as TransformerBridge does, even swapped."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)

    def state_dict(self, *args: object, **kwargs: object) -> dict[str, Tensor]:
        own = super().state_dict(*args, **kwargs)
        names = {"first.weight": "second.weight", "second.weight": "first.weight"}
        return {names.get(name, f"renamed.{name}"): tensor for name, tensor in own.items()}

    def named_parameters(self, *args: object, **kwargs: object) -> Iterator[tuple[str, Tensor]]:
        return (("own." + name, p) for name, p in super().named_parameters(*args, **kwargs))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())


def test_weights_are_found_by_their_paths_whatever_a_state_dict_says():
    model, x = seeded(Renaming).eval(), draw(2, 3)
    engine = lrp.Engine(model, x, preset="gradient")
    assert engine.captured.tensors["first_weight"] is model.first.weight
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)
    torch.testing.assert_close(engine.explain(x, 1).coefficient["x"], gradient)


class Guarded(nn.Module):
    """An attention that guards its pattern against NaN, with keys (batch, head, position, ...)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.qkv = nn.Embedding(9, 8), nn.Linear(8, 24)
        self.out, self.unembed = nn.Linear(8, 8), nn.Linear(8, 9)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        q, k, v = (t.unflatten(2, (2, 4)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        pattern = (q @ k.transpose(-1, -2) / 2).softmax(-1)
        pattern = torch.where(torch.isnan(pattern), torch.zeros_like(pattern), pattern)
        x = x + self.out((pattern @ v).transpose(1, 2).flatten(2))
        return self.unembed(x)


def test_heads_are_found_behind_a_guard_against_nan():
    subject = CircuitModel(seeded(Guarded).eval(), torch.tensor([[1, 2, 3, 4, 5]]))
    assert {"q", "k", "v", "z"} <= {site.kind.value for site in subject.sites}
