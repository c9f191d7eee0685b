"""Low precision: relevance is finite, has the right limits, and is near to float64."""

import pytest
import torch
from torch import nn

from benchmarks.low_precision import Int8Linear
from lrp_engine import Engine
from lrp_engine.errors import CoverageError
from tests.support import draw, seeded

LOW = (torch.bfloat16, torch.float16)
ACTIVATIONS = (nn.GELU, nn.SiLU, nn.Tanh, nn.Mish, nn.Hardswish)


def network(activation: type[nn.Module]) -> nn.Module:
    layers = [nn.Linear(6, 16), nn.LayerNorm(16), activation(), nn.Linear(16, 4)]
    return seeded(lambda: nn.Sequential(*layers))


def explained(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    return Engine(model.eval(), inputs, dynamic=False).explain(inputs, 1).relevance["input"]


@pytest.mark.parametrize("dtype", LOW)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_relevance_is_near_to_float64(activation, dtype):
    model, inputs = network(activation).to(dtype), draw(5, 6).to(dtype)
    found = explained(model, inputs)
    exact = explained(model.double(), inputs.double())
    assert found.isfinite().all()
    assert found.dtype == torch.float32
    # Of the order of the dtype's spacing; table and larger models: benchmarks/README.md.
    assert (found.double() - exact).norm() < 8 * torch.finfo(dtype).eps * exact.norm()


@pytest.mark.parametrize("dtype", LOW)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_has_its_limit_at_zero_and_near_it(activation, dtype):
    class Plain(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return activation()(x)

    tiny = torch.finfo(dtype).smallest_normal
    inputs = torch.tensor([[0.0, -0.0, tiny, -tiny, 1e-3]], dtype=dtype)
    engine = Engine(Plain().eval(), inputs, dynamic=False)
    seed = torch.ones_like(inputs)
    found = engine.explain(inputs, seed).coefficient["input"]
    slope = {nn.GELU: 0.5, nn.SiLU: 0.5, nn.Tanh: 1.0, nn.Mish: 0.6, nn.Hardswish: 0.5}
    expected = torch.full_like(found, slope[activation])
    assert torch.allclose(found, expected, rtol=4 * torch.finfo(dtype).eps, atol=1e-3)


def test_int8_weights_are_a_linear_layer_like_any_other():
    linear = seeded(lambda: nn.Linear(6, 4)).float()
    inputs = draw(3, 6).float()
    model = Int8Linear(linear).eval()
    found = explained(model, inputs)
    assert torch.allclose(found, model.weight[1] * inputs, rtol=1e-5, atol=1e-6)


def test_autocast_is_explained_in_its_own_precision():
    model = network(nn.GELU).float()

    class Cast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return self.model(x)

    inputs = draw(5, 6).float()
    found, exact = explained(Cast(), inputs), explained(model.double(), inputs.double())
    assert found.isfinite().all()
    assert (found.double() - exact).norm() < 8 * torch.finfo(torch.bfloat16).eps * exact.norm()


class Stored(nn.Module):
    """Values that are stored in float8, and computed with in float32."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype, self.linear = dtype, seeded(lambda: nn.Linear(6, 4)).float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.to(self.dtype).to(torch.float32))


@pytest.mark.parametrize(
    "dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e8m0fnu]
)
def test_relevance_cannot_travel_in_float8(dtype):
    inputs = draw(3, 6).float()
    for given in (inputs, inputs.to(dtype)):
        with pytest.raises(CoverageError, match=r"float8.*only store values"):
            explained(Stored(dtype).eval(), given)


def test_ops_in_float8_are_not_taken_apart():
    class Padded(Stored):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(nn.functional.pad(x[:, 1:], (0, 1)).to(torch.float32))

    dtype = torch.float8_e5m2fnuz
    with pytest.raises(CoverageError, match=r"float8.*only store values"):
        explained(Padded(dtype).eval(), draw(3, 6).to(dtype))
