"""Ops without rules, presets that do not fit, files that are damaged: each its own error."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lrp_engine import (
    Engine,
    Explanation,
    Op,
    explain,
    load_preset,
    presets,
)
from lrp_engine.boundary.arrays import read_safetensors
from lrp_engine.errors import (
    CoverageError,
    InputError,
    PresetError,
    RuleError,
)
from lrp_engine.method.op import AtZero, Pointwise
from lrp_engine.results.store import FORMAT
from tests.support import assert_conserves, draw, seeded

X = draw(3, 6)
COMPUTED: list[str] = []


@torch.library.custom_op("lrp_engine_tests::cube", mutates_args=())
def cube(x: Tensor) -> Tensor:
    COMPUTED.append("cube")
    return x**3


@torch.library.custom_op("lrp_engine_tests::double", mutates_args=())
def double(x: Tensor) -> Tensor:
    COMPUTED.append("double")
    return x * 2


cube.register_fake(torch.empty_like)
double.register_fake(torch.empty_like)


class Inner(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return cube(x)  # the line of the cube


class Unknown(nn.Module):
    """Two ops without a rule on the way, and one off it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = Inner(), nn.Linear(6, 4, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = double(self.inner(x).tanh())  # the line of the double
        return self.head(h), cube(h)


def line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(i for i, line in enumerate(lines, 1) if line.endswith(f"# the line of the {text}"))


def record(name: str, **facts: Any) -> Op:
    target = getattr(torch.ops.lrp_engine_tests, name).default
    return Pointwise(target=target, operands=("x",), at_zero=AtZero.ZERO, **facts)


# --- ops without a rule ------------------------------------------------------------------------


def test_one_error_lists_every_op_without_a_rule_before_anything_is_computed():
    model = seeded(Unknown)
    COMPUTED.clear()
    with pytest.raises(CoverageError) as caught:
        Engine(model, X)
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 live op(s) without a rule; nothing was computed:"
    assert "lrp_engine_tests.cube.default(float64[" in lines[1]
    assert f"inner (Inner), {__file__}:{line_of('cube')}" in lines[1]
    assert "lrp_engine_tests.double.default(float64[" in lines[3]
    assert f"(root) (Unknown), {__file__}:{line_of('double')}" in lines[3]
    assert "rules=[" in lines[-1]
    assert COMPUTED == []


def test_ops_that_relevance_does_not_pass_need_no_rule():
    ex = explain(seeded(Unknown), X, 1, sources=["double"])
    assert_conserves(ex, 1e-12)


def test_a_users_own_records_serve_their_ops():
    rules = [record("cube", ratio=torch.square), record("double", ratio=lambda x: 0 * x + 2)]
    ex = explain(seeded(Unknown), X, 1, rules=rules)
    assert_conserves(ex, 1e-12)


def test_a_record_that_is_given_twice_is_refused():
    with pytest.raises(RuleError, match=r"cube\.default is declared twice"):
        Engine(seeded(Unknown), X, rules=[record("cube"), record("cube")])


def test_a_rule_that_fails_names_the_op_and_its_place():
    rules = [record("cube", ratio=lambda x: x.nonsense()), record("double", ratio=torch.exp)]
    engine = Engine(seeded(Unknown), X, rules=rules)
    with pytest.raises(RuleError, match=r"'identity'.*cube\.default.*inner \(Inner\).*nonsense"):
        engine.explain(X, 1)


def test_a_preset_without_a_rule_for_a_family_says_which(tmp_path):
    preset = written(tmp_path, '[[rule]]\nfamily = "linear"\nuse = "adjoint"\n')
    with pytest.raises(CoverageError, match="'own' has no rule for family 'weighted_sum'"):
        Engine(seeded(nn.Linear, 6, 4), X, preset=preset)


# --- presets -----------------------------------------------------------------------------------


def written(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text)
    return path


BAD_PRESETS = {
    "key": ('extend = "epsilon"\n', r"'own'.*'extend'; did you mean 'extends'\?"),
    "base": ('extends = "epsilonn"\n', r"'epsilonn'; did you mean 'epsilon'\?"),
    "family": (
        '[[rule]]\nfamily = "weightedsum"\nuse = "zero"\n',
        r"unknown family 'weightedsum'; did you mean 'weighted_sum'\?",
    ),
    "rule": (
        '[[rule]]\nfamily = "weighted_sum"\nuse = "epsylon"\n',
        r"'weighted_sum' has no rule 'epsylon'; did you mean 'epsilon'\?",
    ),
    "no rule": ('[[rule]]\nfamily = "softmax"\n', r"'softmax' has no rule None"),
    "parameter": (
        '[[rule]]\nfamily = "weighted_sum"\nuse = "epsilon"\nepsilom = 1.0\n',
        r"rule 'epsilon'.*'epsilom'; did you mean 'epsilon'\?",
    ),
    "selector": (
        '[[rule]]\nfamily = "linear"\nuse = "adjoint"\nmodul = "head"\n',
        r"'modul'; did you mean 'module'\?",
    ),
    "no TOML": ("[[rule]\n", "not valid TOML"),
}


@pytest.mark.parametrize("name", BAD_PRESETS)
def test_a_bad_preset_file_is_refused_with_a_suggestion(tmp_path, name):
    text, message = BAD_PRESETS[name]
    with pytest.raises(PresetError, match=message):
        Engine(seeded(nn.Linear, 6, 4), X, preset=written(tmp_path, text))


def test_an_unknown_preset_is_refused_with_a_suggestion_or_the_list():
    model = seeded(nn.Linear, 6, 4)
    with pytest.raises(PresetError, match=r"'atnlrp'; did you mean 'attnlrp'\?"):
        Engine(model, X, preset="atnlrp")
    with pytest.raises(PresetError, match=", ".join(presets())):
        Engine(model, X, preset="?")
    with pytest.raises(PresetError, match=r"preset file .* does not exist"):
        Engine(model, X, preset="missing.toml")


EPSILON_AT = 'extends = "attnlrp"\n[[rule]]\nfamily = "weighted_sum"\nuse = "epsilon"\n'


@pytest.mark.parametrize(
    "selector, message",
    [
        ('module = "haed"', r"names nothing.*module haed; did you mean 'head'\?"),
        ('module = "body.*"', r"names nothing.*module body\.\*"),
        ('node = "linear_7"', r"names nothing.*node linear_7"),
    ],
)
def test_a_row_about_a_place_that_is_not_there_is_refused(tmp_path, selector, message):
    rules = [record("cube", ratio=torch.square), record("double")]
    with pytest.raises(PresetError, match=message):
        Engine(seeded(Unknown), X, preset=written(tmp_path, EPSILON_AT + selector), rules=rules)


EPSILON = "epsilon(epsilon=1e-06, bias=absorb)"


@pytest.mark.parametrize(
    "selector, rule",
    [
        ('module = "0"', EPSILON),
        ('module = "?"', EPSILON),
        ('node = "linear"', EPSILON),
        ('type = "Linear"', EPSILON),
        ('op = "aten.linear"', EPSILON),
        ('module = "1"', "zero"),
        ('type = "Conv2d"\noptional = true', "zero"),
        ('position = "first"', EPSILON),
        ('position = "last 2"', EPSILON),
        ('after = "linear"', "zero"),
        ('before = "relu"', EPSILON),
        ('before = "1"', EPSILON),
        ('op = "aten.conv2d"', "zero"),
    ],
)
def test_a_row_holds_where_it_says_and_nowhere_else(tmp_path, selector, rule):
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU()))
    engine = Engine(model, X, preset=written(tmp_path, EPSILON_AT + selector))
    assert engine.plan.assignments[0].rule_text() == rule


@pytest.mark.parametrize(
    "selector, hint",
    [
        ('type = "Conv2d"', "names nothing in this model"),
        ('type = "Linaer"', "did you mean 'Linear'"),
        ('after = "reul"', "did you mean 'relu'"),
        ('op = "linaer"', "has no op 'linaer'; did you mean 'linear'"),
        ('position = "second"', "write 'first', 'last'"),
        ('bias = "distribut"', "did you mean 'distribute'"),
    ],
)
def test_a_row_that_speaks_of_nothing_is_refused(tmp_path, selector, hint):
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU()))
    with pytest.raises(PresetError, match=hint):
        Engine(model, X, preset=written(tmp_path, EPSILON_AT + selector))


def test_a_rule_without_its_parameters_is_refused():
    model = seeded(lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2)))
    x = torch.rand(3, 1, 4, 4).double()
    with pytest.raises(PresetError, match="needs low and high"):
        Engine(model, x, preset="epsilon_gamma_box")
    with pytest.raises(PresetError, match="unknown key 'lwo'; did you mean 'low'"):
        load_preset("epsilon_gamma_box", lwo=0.0, high=1.0)
    explained = explain(model, x, 1, preset=load_preset("epsilon_gamma_box", low=0, high=1))
    explained.check()


# --- saved explanations ------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return explain(seeded(nn.Linear, 6, 4), X, 1).save(tmp_path / "ex.safetensors")


def test_what_was_saved_is_loaded(saved):
    found, expected = Explanation.load(saved), explain(seeded(nn.Linear, 6, 4), X, 1)
    assert torch.equal(found.relevance["input"], expected.relevance["input"])
    assert torch.equal(found.coefficient["input"], expected.coefficient["input"])
    assert torch.equal(found.explained, expected.explained)
    assert torch.equal(found.output[0], expected.output)
    assert found.provenance == expected.provenance
    assert found.ledger == expected.ledger


def test_a_saved_explanation_that_was_changed_is_refused(saved, monkeypatch):
    tensors, metadata = read_safetensors(saved)
    tensors["relevance/input"][0, 0] += 1e-3
    save_file(tensors, saved, metadata)
    with pytest.raises(InputError, match="was changed after it was saved"):
        Explanation.load(saved)
    # Without the digest it loads, and its ledger still balances.
    monkeypatch.setattr("lrp_engine.results.store.digest_of", lambda *_: metadata["sha256"])
    Explanation.load(saved).check()


def test_the_tolerance_of_a_saved_explanation_is_that_of_its_dtype(saved, monkeypatch):
    tensors, metadata = read_safetensors(saved)
    assert "tolerance" not in metadata["ledger"]
    changed = metadata["ledger"].replace('"dtype"', '"tolerance": 9.0, "dtype"')
    save_file(tensors, saved, metadata | {"ledger": changed})
    monkeypatch.setattr("lrp_engine.results.store.digest_of", lambda *_: metadata["sha256"])
    assert Explanation.load(saved).ledger.tolerance == 1e-12


def test_an_explanation_is_saved_under_its_own_ending_and_mode(tmp_path):
    explained = explain(seeded(nn.Linear, 6, 4), X, 1)
    with pytest.raises(InputError, match=r"\.safetensors file; name it so"):
        explained.save(tmp_path / "ex.npz")
    assert not list(tmp_path.iterdir())
    (tmp_path / "plain").touch()
    file = explained.save(tmp_path / "ex.safetensors")
    assert file.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_file_that_is_no_explanation_is_refused(saved, tmp_path):
    cut, text, other = (tmp_path / name for name in ("cut", "text", "other"))
    cut.write_bytes(saved.read_bytes()[:-8])
    text.write_text("hello")
    save_file({"weights": X}, other)
    for path, message in [
        (cut, "cannot be read as an explanation"),
        (text, "cannot be read as an explanation"),
        (tmp_path / "missing", "cannot be read as an explanation"),
        (tmp_path, "cannot be read as an explanation"),
        (other, "is not an explanation written by this version"),
    ]:
        with pytest.raises(InputError, match=f"{path.name} {message}"):
            Explanation.load(path)


@pytest.mark.parametrize(
    "damage",
    [
        {"provenance": "{"},
        {"provenance": "{}"},
        {"ledger": "[]"},
        {"ledger": json.dumps({"explained": 1, "arrived": {}, "tolerance": 0, "accounts": [{}]})},
        {},
    ],
    ids=["cut JSON", "no provenance", "no ledger", "an empty account", "nothing at all"],
)
def test_an_explanation_with_damaged_metadata_is_refused(saved, tmp_path, damage):
    path = tmp_path / "damaged"
    whole = {"provenance": "{}", "ledger": "{}"} if damage else {}
    save_file(load_file(saved), path, {"format": FORMAT} | whole | damage)
    with pytest.raises(InputError, match="damaged"):
        Explanation.load(path)
