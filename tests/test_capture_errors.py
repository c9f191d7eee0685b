"""What cannot be captured is told by one cause, the line of the model's code, and one advice."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

import lrp_engine as lrp
from lrp_engine.errors import CaptureError, CoverageError, InputError

X = torch.ones(2, 4)


class Skips(nn.Module):
    """Skips an expert without tokens, as some mixtures of experts do."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(4, 2)
        self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        weight, chosen = self.gate(x).softmax(-1).topk(2, -1)
        out = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            token, slot = torch.where(chosen == i)
            for t, s in zip(token.tolist(), slot.tolist(), strict=True):
                out[t] += expert(x[t]) * weight[t, s]
        return out


class IndexesByAList(nn.Module):
    """Takes a tensor apart, and writes at the places that its entries name."""

    def forward(self, x: Tensor) -> Tensor:
        rows = tuple((x[:, 0] > 0).long())
        mask = torch.ones_like(x)
        mask[rows, :] = 0.0
        return x * mask


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sparse.mm((x @ x.mT).to_sparse(), self.linear(x))


class Forces(nn.Module):
    """Gives the derivative of an energy, by torch.func or by torch.autograd."""

    def __init__(self, functional: bool) -> None:
        super().__init__()
        self.linear, self.functional = nn.Linear(4, 3), functional

    def energy(self, x: Tensor) -> Tensor:
        return torch.tanh(self.linear(x)).sum()

    def forward(self, x: Tensor) -> Tensor:
        if self.functional:
            return torch.func.grad(self.energy)(x)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.energy(x), x)[0]


class Packs(nn.Module):
    """Computes with a packed sequence's own values; the lengths are data."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        lengths = x.sum(1).long()
        packed = nn.utils.rnn.pack_padded_sequence(x[..., None], lengths, True, False)
        return self.lstm(packed)[0].data.tanh()


class Fails(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x @ x


@pytest.mark.parametrize(
    "model, words",
    [
        (Skips(), r"by the values of its data.*torch\.where"),
        (Packs(), r"packed sequences.*torch\.gather"),
        (IndexesByAList(), r"out of a list of tensors.*torch\.stack"),
        (Fails(), r"the model itself fails on these inputs: RuntimeError"),
    ],
)
def test_one_cause_one_line_one_advice(model: nn.Module, words: str) -> None:
    with pytest.raises(CaptureError, match=words) as caught:
        lrp.Engine(model.eval(), X)
    assert f"{__file__}:" in str(caught.value)
    assert "\n" not in str(caught.value)


def scripted() -> nn.Module:
    return nn.Sequential(torch.jit.script(nn.Linear(4, 3)), nn.ReLU())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: nn.Linear(4, 3).state_dict(), "load_state_dict"),
        (lambda: nn.Linear, "an instance"),
        (lambda: 3, "a model is"),
        (scripted, "'0' is a TorchScript module"),
        (lambda: nn.Linear(4, 3, device="meta"), "'weight' is a meta tensor"),
        (lambda: nn.Sequential(torch.ao.nn.quantized.dynamic.Linear(4, 3)), "before quantisation"),
    ],
)
def test_what_is_no_model(make, words: str) -> None:
    model = make()
    model = model.eval() if isinstance(model, nn.Module) else model
    with pytest.raises(CaptureError, match=words):
        lrp.Engine(model, X)


@pytest.mark.parametrize(
    "inputs, words",
    [
        (np.ones((2, 4)), "torch.as_tensor"),
        ({"input": [[1.0, 2.0, 3.0, 4.0]]}, "torch.tensor"),
        ("some text", "tokenizer"),
        (nn.utils.rnn.pack_sequence([torch.ones(2, 4)]), "packed sequence"),
        (torch.ones(2, 4, device="meta"), "meta tensor"),
        (X.to_sparse(), "to_dense"),
        (torch.nested.nested_tensor([torch.ones(4), torch.ones(3)]), "nested tensor"),
    ],
)
def test_what_are_no_inputs(inputs: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        lrp.Engine(nn.Linear(4, 3).eval(), inputs)


def test_a_failure_of_another_kind_keeps_torchs_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrp_engine.capture.failures.CAUSES", ())
    with pytest.raises(CaptureError, match=r"could not be captured") as caught:
        lrp.Engine(Packs().eval(), X)
    assert "torch.gather" not in str(caught.value)


def test_a_sparse_tensor_of_live_values_is_refused() -> None:
    with pytest.raises(CoverageError, match=r"sparse tensor of live values(.|\n)*to_dense"):
        lrp.Engine(Sparse().eval(), X)


@pytest.mark.parametrize("functional", [True, False])
def test_a_derivative_inside_of_forward_is_refused(functional: bool) -> None:
    """Torch reports it at the end of its trace, without a line of the model's code."""
    with pytest.raises(CaptureError, match=r"takes a derivative.*torch\.func\.grad.*make_fx"):
        lrp.Engine(Forces(functional).eval(), X)


def test_a_derivative_that_is_written_out_is_explained() -> None:
    """The advice of the error: torch.func.grad, traced by make_fx."""
    model = Forces(True).double().eval()
    x = X.double()
    written = make_fx(model)(x).eval()
    found = lrp.explain(written, x, target=1, preset="gradient")
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)
    torch.testing.assert_close(next(iter(found.coefficient.values())), slope)


def test_a_builtin_without_a_signature_is_refused_with_what_helps() -> None:
    with pytest.raises(CaptureError, match=r"lambda x: sinc\(x\)"):
        lrp.Engine(torch.sinc, torch.ones(2))


class DrawsByGenerator(nn.Module):
    """A model that torch cannot capture with free sizes."""

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return x + torch.randn(x.shape, generator=generator)


def test_a_capture_that_fails_leaves_no_mark_on_the_inputs() -> None:
    """Nor on the capture with fixed sizes that follows it."""
    x = torch.randn(2, 8)
    engine = lrp.Engine(DrawsByGenerator().eval(), x)
    assert any("sizes are fixed" in note for note in engine.captured.notes)
    assert not vars(x)
