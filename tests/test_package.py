"""Packages: compiled programs that explain as their engine does, wherever they are loaded.

Compiling is slow, so that most tests share one package: the one that docs/packages.md makes.
"""

import os
import re
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import lrp_engine as lrp
from lrp_engine.aot import (
    archive,
    load,
    load_in_subprocess,
    structure,
    write,
)
from lrp_engine.aot.compare_with_engine import compare_explanations
from lrp_engine.aot.expression import evaluate, format_expression, symbols_in
from lrp_engine.aot.program_set import lay_out
from lrp_engine.errors import (
    InputError,
    LrpError,
    PackageError,
    TargetError,
)
from tests.nets import Conv, Mlp, net
from tests.support import assert_close, draw, seeded

PAGE = (Path(__file__).parents[1] / "docs" / "packages.md").read_text()


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What docs/packages.md does, in a folder of its own."""
    folder, before = tmp_path_factory.mktemp("package"), Path.cwd()
    os.chdir(folder)
    try:
        names: dict[str, Any] = {}
        for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
            exec(compile(block, "docs/packages.md", "exec"), names)
    finally:
        os.chdir(before)
    return SimpleNamespace(**names, path=folder / "reader.pt2")


def ids(batch: int, length: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(batch + length)
    return {"ids": torch.randint(0, 64, (batch, length), generator=generator)}


def metric(output: Tensor) -> Tensor:
    return output[:, -1, 3] - output[:, 0, 5]


QUESTIONS = {
    "row": {"target": 3, "position": -1},
    "rows": {"target": {3: 1.0, 5: -0.5}, "position": 0},
    "slice": {"target": 7, "position": slice(0, 2)},
    "metric": {"target": metric},
}


@pytest.mark.parametrize("size", [(2, 5), (1, 5), (1, 1), (4, 1), (7, 31), (40, 3)], ids=str)
@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_gives_what_the_engine_gives(example, size, question):
    found = example.package.explain(ids(*size), **question)
    expected = example.engine.explain(ids(*size), **question)
    assert_close(found.relevance["ids"], expected.relevance["ids"])
    assert_close(found.coefficient["ids"], expected.coefficient["ids"])
    assert_close(found.explained, expected.explained)
    assert_close(found.output["logits"], expected.output["logits"])
    assert found.provenance == expected.provenance


def test_many_targets_share_one_forward_pass(example):
    found = list(example.package.explain_each(ids(2, 4), [1, 2], position=-1))
    for target, mine in zip([1, 2], found, strict=True):
        theirs = example.engine.explain(ids(2, 4), target, position=-1)
        assert_close(mine.relevance["ids"], theirs.relevance["ids"])


def test_inputs_may_lie_in_memory_as_they_like(example):
    other = {"ids": ids(5, 2)["ids"].T}
    assert not other["ids"].is_contiguous()
    found = example.package.explain(other, 3, position=-1)
    expected = example.engine.explain(other, 3, position=-1)
    assert_close(found.relevance["ids"], expected.relevance["ids"])


@pytest.mark.parametrize(
    ("inputs", "question"),
    [
        ({"ids": torch.zeros(2, 3, 4, dtype=torch.int64)}, {}),
        ({"ids": torch.zeros(2, 3)}, {}),
        ({"ids": torch.zeros(2, 3, dtype=torch.int32)}, {}),
        ({"ids": "text"}, {}),
        ({"other": torch.zeros(2, 3, dtype=torch.int64)}, {}),
        ((torch.zeros(2, 3, dtype=torch.int64),) * 2, {}),
        ({"ids": torch.zeros(2, 3, dtype=torch.int64, device="meta")}, {}),
        (ids(2, 3), {"target": 64, "position": -1}),
        (ids(2, 3), {"target": 1, "position": 3}),
        (ids(2, 3), {"target": 1}),
        (ids(2, 3), {"target": [1, 2, 3], "position": -1}),
        (ids(2, 3), {"target": torch.zeros(2)}),
        (ids(2, 3), {"target": metric, "position": -1}),
        (ids(2, 3), {}),
    ],
)
def test_refuses_what_the_engine_refuses(example, inputs, question):
    with pytest.raises((InputError, TargetError)) as mine:
        example.package.explain(inputs, **question)
    with pytest.raises(LrpError) as theirs:
        example.engine.explain(inputs, **question)
    assert (mine.type, str(mine.value)) == (theirs.type, str(theirs.value))


def test_what_a_package_cannot_do_says_what_can(example):
    package = example.package
    for ask in ({"ledger": True}, {"create_graph": True}, {"full_output": False}):
        with pytest.raises(PackageError, match=r"Engine\.explain"):
            package.explain(ids(2, 3), 1, position=-1, **ask)
    with pytest.raises(PackageError, match="ledger=True"):
        _ = example.explanation.ledger
    with pytest.raises(PackageError, match="explain_each"):
        package.explain_all(ids(2, 3))
    with pytest.raises(PackageError, match="with_preset"):
        package.with_preset("epsilon")
    assert not hasattr(package, "something_else")


IN_A_FRESH_PROCESS = """
import sys, torch
import lrp_engine as lrp
package = lrp.load_package(sys.argv[1])
found = package.explain({"ids": torch.arange(12).reshape(3, 4)}, 3, position=-1)
found.relevance["ids"].numpy().tofile(sys.argv[2])
"""


def test_loads_where_there_is_neither_model_nor_compiler(example, tmp_path):
    environment = {"PATH": str(tmp_path), "CXX": "none", "HOME": str(tmp_path)}
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path / "cache")
    root = str(Path(lrp.__file__).parents[1])
    command = [sys.executable, "-W", "error", "-c", IN_A_FRESH_PROCESS]
    done = subprocess.run(
        [*command, str(example.path), str(tmp_path / "found")],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    expected = example.engine.explain({"ids": torch.arange(12).reshape(3, 4)}, 3, position=-1)
    found = torch.from_file(str(tmp_path / "found"), size=3 * 4 * 16, dtype=torch.float64)
    assert_close(found.reshape(3, 4, 16), expected.relevance["ids"])


def test_every_constant_is_stored_once(example):
    held = example.package.manifest.held
    records = {stored.record for program in held.values() for stored in program.values()}
    assert sum(map(len, held.values())) > len(records) == 4  # the tied weight is one of them
    numbers = archive.read_constants(example.path, example.package.manifest)
    places = {t.data_ptr() for program in numbers.values() for t in program.values()}
    assert len(places) == 4


def test_a_row_alone_is_asked_for_by_position(example):
    package = replace(example.package, pairs={"row": example.package.pairs["row"]})
    assert_close(
        package.explain(ids(2, 3), 3, position=-1).relevance["ids"],
        example.package.explain(ids(2, 3), 3, position=-1).relevance["ids"],
    )
    with pytest.raises(TargetError, match="start=None"):
        package.explain(ids(2, 3), metric)


def test_sizes_that_were_not_found_to_be_served_are_refused(example):
    manifest = replace(example.package.manifest, ones=(), conditions=())
    package = replace(example.package, manifest=manifest)
    with pytest.raises(InputError, match="sizes of 1"):
        package.explain(ids(1, 3), 1, position=-1)
    (batch, _) = manifest.inputs[0].shape
    package = replace(package, manifest=replace(manifest, conditions=(f"{batch} < 4",)))
    package.explain(ids(3, 3), 1, position=-1)
    with pytest.raises(InputError, match="holds only where"):
        package.explain(ids(4, 3), 1, position=-1)


def test_other_files_and_damaged_ones_are_refused(example, tmp_path):
    def refused(name: str, data: bytes, why: str) -> None:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(PackageError, match=f"{name}.*{why}"):
            lrp.load_package(tmp_path / name)

    data = example.path.read_bytes()
    refused("text.pt2", b"hello", "not written by")
    refused("cut.pt2", data[: len(data) // 2], "damaged")
    refused("empty.pt2", b"", "damaged")
    with pytest.raises(PackageError, match="no such file"):
        lrp.load_package(tmp_path / "missing.pt2")
    exported = torch.export.export(nn.Linear(2, 2), (torch.ones(2, 2),))
    torch.export.save(exported, tmp_path / "exported.pt2")
    refused("exported.pt2", (tmp_path / "exported.pt2").read_bytes(), "not written by")
    refused(
        "other.pt2", data.replace(b"engine package 1", b"engine package 9"), "package again|damaged"
    )


def test_another_machine_is_refused(example, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "9.9.9")
    with pytest.raises(PackageError, match=r"9\.9\.9 here.*package the model here"):
        lrp.load_package(example.path)


@pytest.fixture
def mlp() -> tuple[lrp.Engine, Tensor]:
    model, x = net(Mlp, True)
    return lrp.Engine(model, x), x


def test_nothing_is_left_behind_when_it_fails(mlp, tmp_path, monkeypatch):
    engine, x = mlp
    (tmp_path / "there.pt2").write_text("as it was")

    def fails(name: str, *rest: Any) -> Any:
        raise PackageError(f"no {name}")

    monkeypatch.setattr(write, "compile_program", fails)
    for name in ("there.pt2", "new.pt2"):
        with pytest.raises(PackageError, match="no output_forward"):
            engine.package(tmp_path / name, x)
    with pytest.raises(PackageError, match=r"\.pt2"):
        engine.package(tmp_path / "package.zip", x)
    assert [p.name for p in tmp_path.iterdir()] == ["there.pt2"]
    assert (tmp_path / "there.pt2").read_text() == "as it was"


@pytest.mark.slow
def test_a_crash_of_torchs_loader_takes_another_process(mlp, tmp_path, monkeypatch):
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(load_in_subprocess, "_LOADS", crash)
    engine, x = mlp
    with pytest.raises(PackageError, match=r"crashes .*signal 11.*CXX"):
        engine.package(tmp_path / "a.pt2", x)
    assert not list(tmp_path.iterdir())


def test_a_missing_compiler_is_named(mlp, tmp_path, monkeypatch):
    def fails(*args: Any, **options: Any) -> Any:
        raise torch._inductor.exc.InvalidCxxCompiler

    monkeypatch.setattr(torch._inductor, "aot_compile", fails)
    with pytest.raises(PackageError, match=r"no working C\+\+ compiler"):
        mlp[0].package(tmp_path / "a.pt2", mlp[1])


def test_other_numbers_are_not_packaged(mlp):
    engine, x = mlp
    found = engine.explain(x, 1)
    compare_explanations(found, found, 0.0)
    other = replace(found, relevance={"input": found.relevance["input"] * 1.001})
    compare_explanations(other, found, 0.01)
    with pytest.raises(PackageError, match="relevance of 'input'"):
        compare_explanations(other, found, 1e-8)
    spoiled = replace(found, coefficient={"input": found.coefficient["input"] * float("nan")})
    with pytest.raises(PackageError, match="coefficient"):
        compare_explanations(spoiled, found, 0.5)


class Branches(nn.Module):
    """Control flow by data."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if bool(x.sum() > 0) else x * 3


def test_engines_that_cannot_be_packaged_say_why(mlp, tmp_path):
    engine, x = mlp
    with pytest.raises(PackageError, match="budget"):
        engine.with_policy("1 GB").package(tmp_path / "a.pt2", x)
    with pytest.raises(PackageError, match="start at a row"):
        engine.package(tmp_path / "a.pt2", x, start="row")
    with pytest.raises(PackageError, match="'rows'"):
        engine.package(tmp_path / "a.pt2", x, start="rows")
    recorded = lrp.Engine(Branches().eval(), torch.ones(2, 3))
    with pytest.raises(PackageError, match="control flow"):
        recorded.package(tmp_path / "a.pt2", torch.ones(2, 3))
    with pytest.raises(InputError):
        engine.package(tmp_path / "a.pt2", torch.ones(2, 3))
    assert not list(tmp_path.iterdir())


def test_conditions_are_read_back_as_arithmetic_only():
    import sympy

    a, b = sympy.symbols("a b", integer=True, positive=True)
    for condition in (
        a < 16,
        sympy.Eq(a, 2 * b),
        sympy.Ne(sympy.Mod(a, 4), 0),
        sympy.Max(a, b) > 3,
    ):
        text = format_expression(condition)
        for sizes in ({"a": 8, "b": 4}, {"a": 17, "b": 2}):
            expected = condition.xreplace({a: sizes["a"], b: sizes["b"]})
            assert evaluate(text, sizes) == bool(expected)
        assert symbols_in(text) <= {"a", "b"}
    for text in ("__import__('os')", "a.b", "a[0]", "lambda: 1", "open('x')", "a <", "c"):
        with pytest.raises(PackageError, match="expression of sizes"):
            evaluate(text, {"a": 1})


class Pair(NamedTuple):
    left: Any
    right: Any


def test_structures_of_plain_containers():
    tree = {"a": (1, [2, 3]), "b": OrderedDict(c=4), "d": Pair(5, 6)}
    leaves, spec = pytree.tree_flatten(tree)
    plain = structure.build(structure.describe(spec), iter(leaves))
    assert plain == {"a": (1, [2, 3]), "b": {"c": 4}, "d": [5, 6]}
    with pytest.raises(PackageError, match="plain tensors"):
        structure.describe_exactly(spec)
    plain_spec = pytree.tree_structure(((1, {"x": 2}), {"y": [3]}))
    described = structure.describe_exactly(plain_spec)
    assert structure.spec_of(described) == plain_spec


def test_layouts_are_kept_or_made():
    x = draw(2, 3, 4)
    assert lay_out(x, (0, 1, 2)) is x
    moved = lay_out(x, (2, 0, 1))
    assert torch.equal(moved, x)
    assert moved.stride() == (3, 1, 6)
    assert lay_out(moved, (2, 0, 1)) is moved
    assert lay_out(x[:, :1].expand(2, 3, 4), (0, 1, 2)).is_contiguous()
    assert load.lay_out is lay_out


class Odd(nn.Module):
    """Results that alias inputs, one given twice, a transposed one, constants among them."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(4, 3)

    def forward(self, pair: dict[str, Tensor], scale: float) -> tuple[Any, ...]:
        y = self.mix(pair["x"] * scale) + pair["y"].flatten(1)[:, :3]
        return y, (y, pair["x"]), "text", y.T, pair["y"].shape[1] * 2


@pytest.mark.slow
def test_odd_signatures(tmp_path):
    inputs = ({"x": draw(3, 4), "y": draw(3, 5, 2, seed=1)}, 0.5)
    engine = lrp.Engine(seeded(Odd), inputs)
    engine.package(tmp_path / "odd.pt2", inputs)
    package = lrp.load_package(tmp_path / "odd.pt2")
    other = ({"x": draw(1, 4), "y": draw(1, 7, 2, seed=1)}, 0.5)
    found, expected = (e.explain(other, 1) for e in (package, engine))
    for name in expected.relevance:
        assert_close(found.relevance[name], expected.relevance[name])
    mine, theirs = (pytree.tree_flatten(e.output) for e in (found, expected))
    assert mine[1] == theirs[1]
    for one, other_one in zip(mine[0], theirs[0], strict=True):
        if isinstance(one, Tensor):
            assert_close(one, other_one)
        else:
            assert one == other_one
    with pytest.raises(InputError, match=r"0\.5 at capture"):
        package.explain((other[0], 0.25), 1)


Drawn = Callable[[int, int], Any]


def _small(name: str) -> tuple[nn.Module, Drawn, dict[str, Any]]:
    """A model, inputs for it by batch and length, what to ask."""
    from tests.zoo import decoders, vision

    if name in ("gpt2", "llama"):
        last = {"target": 3, "position": -1}
        return seeded(getattr(decoders, name)), lambda b, n: _tokens(b, n), last
    if name == "vit":
        return seeded(vision.vit), lambda b, n: vision.pixels(b, n), {"target": 1}
    model, x = net({"mlp": Mlp, "cnn": Conv}[name], True)
    return model, lambda b, n: draw(b, *x.shape[1:], seed=n), {"target": 2}


def _tokens(batch: int, length: int) -> dict[str, Tensor]:
    return {"input_ids": torch.arange(batch * length).reshape(batch, length) % 11}


def agrees(name: str, dtype: torch.dtype, device: str, path: Path) -> None:
    """Packages a small model, and compares at sizes that it was not tried at."""
    model, inputs, question = _small(name)

    def drawn(batch: int, length: int) -> Any:
        def moved(t: Tensor) -> Tensor:
            return t.to(device, dtype if t.is_floating_point() else t.dtype)

        return pytree.tree_map(moved, inputs(batch, length))

    engine = lrp.Engine(model.to(device, dtype), drawn(2, 7))
    engine.package(path, drawn(2, 7))
    package = lrp.load_package(path)
    tolerance = 1e-10 if dtype.itemsize == 8 else 1e-4
    if name == "llama":  # its norms compute in single precision, whatever its weights are
        tolerance = max(tolerance, 1e-7)
    for batch, length in [(2, 7), (1, 7), (5, 4), (13, 9)]:
        found, expected = (e.explain(drawn(batch, length), **question) for e in (package, engine))
        for source, relevance in expected.relevance.items():
            assert_close(found.relevance[source], relevance, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ["mlp", "cnn", "gpt2", "llama", "vit"])
def test_architectures(name, dtype, tmp_path):
    agrees(name, dtype, "cpu", tmp_path / "a.pt2")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["mlp", "cnn", "gpt2", "llama", "vit"])
def test_architectures_on_a_gpu(name, tmp_path):
    agrees(name, torch.float64, "cuda", tmp_path / "a.pt2")
