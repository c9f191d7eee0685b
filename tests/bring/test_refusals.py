"""What people try first and what is no model or no data here is told in one clear line."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lrp_engine as lrp
from lrp_engine.errors import InputError, LrpError, TargetError

X = torch.ones(2, 4)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3)).eval()


def saved(name: str, write: Callable[[str], object]) -> Callable[[Path], str]:
    """A file in a folder, written by a function."""

    def make(folder: Path) -> str:
        path = str(folder / name)
        write(path)
        return path

    return make


def scripted(path: str) -> None:
    torch.jit.trace(net(), X).save(path)


MODELS: list[tuple[str, Any, str]] = [
    ("state_dict", net().state_dict(), "holds the weights, and not what is computed"),
    ("class", nn.Linear, "a class is no model yet"),
    ("number", 3, "a model is a torch.nn.Module"),
    ("TorchScript", torch.jit.trace(net(), X), "hides its ops"),
    ("TorchScript file", saved("m.pt", scripted), "holds weights, or code"),
    ("weights", saved("m.pth", lambda p: torch.save(net().state_dict(), p)), "load_state_dict"),
    ("pickle", saved("m.pkl", lambda p: Path(p).write_bytes(pickle.dumps(1))), "is no model"),
    ("hub name", "google/bert-base", "nothing is downloaded"),
    ("address", "https://x.org/m.onnx", "nothing is downloaded"),
    ("folder", lambda folder: folder, "without config.json"),
    ("bad .pt2", saved("m.pt2", lambda p: Path(p).write_text("no")), "as an exported program"),
    ("bad .onnx", saved("m.onnx", lambda p: Path(p).write_text("no")), "is refused"),
    ("bad bytes", b"no onnx", "not an ONNX model"),
    ("no .onnx", "nowhere.onnx", "no such file"),
    ("meta", nn.Linear(4, 3, device="meta"), "meta tensor"),
]


@pytest.mark.parametrize("model, words", [m[1:] for m in MODELS], ids=[m[0] for m in MODELS])
def test_what_is_no_model(model: Any, words: str, tmp_path: Path) -> None:
    is_maker = callable(model) and not isinstance(model, (nn.Module, type))
    with pytest.raises(LrpError, match=words) as error:
        lrp.explain(model(tmp_path) if is_maker else model, X, 0)
    assert "\n" not in str(error.value)


def frame() -> Any:
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({"a": [1.0], "b": ["red"], "c": [2.0], "d": [3.0]})


DATA: list[tuple[str, Any, str]] = [
    ("text", "a text", "give its tokenizer, as tokenizer="),
    ("texts", ["a text", "another"], "give its tokenizer"),
    ("address", "https://x.org/a.png", "nothing is downloaded"),
    ("no image", "nowhere.png", "give transform="),
    ("list of numbers", [[1.0, 2.0, 3.0, 4.0]], r"torch.tensor\(...\)"),
    ("number", 3, "numbers of Python"),
    ("nothing", None, "example inputs are needed"),
    ("objects", np.array([object()]), "holds no numbers"),
    ("ragged", [np.ones(4), np.ones(3)], "several shapes make no batch"),
    ("table with text", frame, "'b' holds 'red', which is no number"),
    ("unknown file", saved("a.xyz", lambda p: Path(p).write_text("")), "no file of a kind"),
    ("empty csv", saved("a.csv", lambda p: Path(p).write_text("a,b\n")), "has no rows"),
    ("bad npz", saved("a.npz", lambda p: Path(p).write_text("no")), "cannot be read"),
    ("sound in text", saved("a.wav", lambda p: Path(p).write_text("no")), "as a .wav file"),
    ("meta", torch.ones(2, 4, device="meta"), "has no values"),
]


@pytest.mark.parametrize("data, words", [d[1:] for d in DATA], ids=[d[0] for d in DATA])
def test_what_are_no_data(data: Any, words: str, tmp_path: Path) -> None:
    given = (data() if data is frame else data(tmp_path)) if callable(data) else data
    with pytest.raises(LrpError, match=words) as error:
        lrp.explain(net(), given, 0)
    assert "\n" not in str(error.value)


def test_texts_are_refused_where_they_are_odd(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reviews.txt").write_text("good\n\nbad\n")
    embed = nn.Sequential(nn.Embedding(300, 4), nn.Flatten(), nn.LazyLinear(2)).eval()
    subject = lrp.Subject(embed, tokenizer=lambda text: list(text.encode()))
    for data, words in [
        ("reviews.txt", r"give Path\('reviews.txt'\)"),
        (" ", "a text is empty"),
        ([], "the list is empty"),
        (Path("nowhere.txt"), "no such file"),
        (["good", "bad"], "several lengths"),
    ]:
        with pytest.raises(InputError, match=words):
            subject.read(data)
    assert [s.name for s in subject._reader(Path("reviews.txt")).samples(Path("reviews.txt"))] == [
        "good",
        "bad",
    ]


def test_names_are_refused_where_nobody_knows_them() -> None:
    subject = lrp.Subject(net())
    for target, words in [("cat", "give its number, or the names as classes="), (7, "range")]:
        with pytest.raises(TargetError, match=words):
            subject.explain(X, target)
    named = lrp.Subject(net(), classes=["crane", "crane", "tabby, tabby cat"])
    assert named._opened.names.number("Tabby Cat") == 2
    with pytest.raises(TargetError, match="the classes 0, 1: give the number"):
        named.explain(X, "crane")
    with pytest.raises(TargetError, match="are one class"):
        named.explain(X, {"tabby": 1, "tabby cat": -1})


def plain(image: Any) -> Any:
    return image


# What is said beside the model and is read nowhere is refused, with what is read there.
UNREAD: list[tuple[str, Any, Any, dict[str, Any], str]] = [
    ("tensors", net, X, {"transform": plain}, "tensors or arrays, it takes axes=, classes=, feat"),
    ("table", net, {"a": 1.0}, {"rate": 8.0}, "gets tables, it takes classes=, features="),
    ("sound", net, (np.ones(4), 8), {"axes": "time"}, "axes= would be ignored"),
    ("zero-shot", net, X, {"candidates": ["a"]}, "candidates= would be ignored"),
    ("several", net, X, {"pooling": "cls", "truncate": True}, "pooling=, truncate= would be"),
    ("spelling", net, X, {"tokeniser": plain}, "no option tokeniser=; did you mean 'tokenizer'"),
    ("classes", net, X, {"classes": ["a", "b"]}, r"2 classes are named \(a, b\), and .* has 3"),
    ("no class", lambda: nn.Flatten(0).eval(), X[:, :1], {"classes": ["a"]}, "it has no classes"),
    ("names", net, X, {"features": ["a"]}, "1 features are named"),
    ("axes", net, X, {"axes": "batch channel time"}, "2 axes, but 3 were named"),
    ("rate", net, X, {"rate": -1.0}, "a number above 0"),
]


@pytest.mark.parametrize(
    "make, data, said, words", [u[1:] for u in UNREAD], ids=[u[0] for u in UNREAD]
)
def test_what_is_said_and_not_read_is_refused(
    make: Callable[[], nn.Module], data: Any, said: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words) as error:
        lrp.explain(make(), data, None if make is not net else 0, **said)
    assert "\n" not in str(error.value)


def test_what_is_said_of_one_input_does_not_fit_two() -> None:
    class Sum(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a + b

    with pytest.raises(InputError, match="axes= speaks of one input, and there are 2"):
        lrp.explain(Sum().eval(), (X, X), 0, axes="batch feature")
