"""`lrp explain` and `lrp compare` on texts, folders of images, series and tables."""

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import lrp_engine as lrp
from lrp_engine.cli.app import app

MODELS = """
import torch
from torch import nn

def image():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                        nn.Linear(4, 2))
    return net.eval()

def series():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(3, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2)).eval()

def other_series():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv1d(3, 2, 5), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 36, 2)).eval()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "brought_models.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "brought_models", raising=False)
    return tmp_path


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def as_json(*arguments: Any) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def draw_images(folder: Path, count: int) -> None:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for i in range(count):
        place = folder / "images" / ("cat", "dog")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (9, 8, 3), dtype=np.uint8)
        image.fromarray(pixels).save(place / f"{i}.png")


def test_a_folder_of_images_is_explained_in_batches(folder: Path) -> None:
    draw_images(folder, 5)
    question = ("--target", "dog", "--classes", "cat,dog", "--preset", "epsilon")
    model = ("explain", "brought_models:image", "images", *question)
    batches = as_json(*model, "--batch", 2, "--report", "all.html", "--save", "all.safetensors")
    whole = as_json(*model)
    assert batches["samples"] == [f"cat/{i}.png" for i in (0, 2, 4)] + ["dog/1.png", "dog/3.png"]
    assert batches["explained"] == pytest.approx(whole["explained"], abs=1e-6)
    assert batches["ledger"]["explained"] == pytest.approx(whole["ledger"]["explained"], abs=1e-5)
    loaded = lrp.Explanation.load("all.safetensors")
    assert loaded.labels.truth == ("cat", "cat", "cat", "dog", "dog")
    assert loaded.relevance["input"].shape == (5, 3, 9, 8)
    page = Path("all.html")
    assert page.read_text().startswith("<!doctype html>")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(page.stat().st_mode) == 0o666 & ~umask


def test_presets_are_compared(folder: Path) -> None:
    draw_images(folder, 1)
    arguments = ("compare", "brought_models:image", "images/cat/0.png", "--target", "predicted")
    presets = ("--preset", "epsilon", "--preset", "epsilon_plus", "--image-size", "9x8")
    data = as_json(*arguments, *presets, "--plot", "both.png")
    assert data["agreement"][0]["presets"] == ["epsilon", "epsilon_plus"]
    assert -1 <= data["agreement"][0]["pearson"] <= 1
    assert Path("both.png").read_bytes().startswith(b"\x89PNG")
    assert run(*arguments, "--preset", "epsilon").exit_code == 2


def test_models_are_compared_on_the_same_data(folder: Path) -> None:
    np.save("series.npy", np.random.default_rng(0).normal(size=(2, 3, 40)))
    models = ("brought_models:series", "series.npy", "--with", "brought_models:other_series")
    data = as_json("compare", *models, "--target", 0, "--report", "both.html")
    assert list(data["explained"]) == ["brought_models:series", "brought_models:other_series"]
    page = Path("both.html").read_text()
    assert page.count('class="beside"') == 2  # samples
    assert "How far they agree" in page
    assert "<script" not in page


def test_a_checkpoint_explains_a_text(folder: Path) -> None:
    from tests.bring import nets

    nets.gpt2().save_pretrained("gpt2")
    nets.byte_level().save_pretrained("gpt2")
    question = ("--target", " nurse", "--rather-than", " doctor")
    data = as_json("explain", "gpt2", "the nurse read", *question)
    (words,) = data["relevance"]["input_ids"]["words"]
    assert [word for word, _ in words] == ["the", "nurse", "read"]
    assert sum(r for _, r in words) == pytest.approx(
        data["relevance"]["input_ids"]["sum_per_sample"][0], abs=1e-6
    )


def test_series_of_an_npy_file_have_named_axes(folder: Path) -> None:
    np.save("series.npy", np.random.default_rng(0).normal(size=(4, 3, 40)))
    arguments = ("--axes", "batch channel time", "--rate", 250, "--target", "predicted")
    data = as_json("explain", "brought_models:series", "series.npy", "--batch", 3, *arguments)
    assert data["relevance"]["input"]["shape"] == [4, 3, 40]


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (("images", "--target", "cow", "--classes", "cat,dog"), 1, "no class 'cow'"),
        (("https://x.org/cat.png", "--target", "0"), 1, "nothing is downloaded"),
        (("no.png", "--target", "0"), 1, "there is no file no.png"),
        (("empty", "--target", "0"), 1, "no file of a kind that is read here"),
        (("images", "--target", "0", "--plot", "x.txt"), 1, "name it so"),
        (("images", "--target", "0", "--image-size", "huge"), 2, "no size"),
        (("images", "--rather-than", "0"), 2, "goes with --target"),
        (("images", "--candidates", "cat,dog"), 1, "--candidates: candidates= would be ignored"),
        (("x.npy", "--image-size", "9"), 1, "--image-size: transform= would be ignored"),
        (("images", "--target", "0", "--classes", "a,b,c"), 1, "3 classes are named"),
    ],
)
def test_mistakes_are_told_in_one_line_and_in_json(
    folder: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    draw_images(folder, 2)
    np.save("x.npy", np.zeros((1, 3, 9, 8)))
    (folder / "empty").mkdir()
    result = run("explain", "brought_models:image", *arguments, "--json")
    assert result.exit_code == code, result.output
    error = json.loads(result.stdout)["error"]
    assert words in error["message"]
    assert "Traceback" not in result.output


def test_every_command_takes_a_checkpoint_and_texts(folder: Path) -> None:
    from tests.bring import nets

    nets.classifier().save_pretrained("bert")
    nets.wordpiece().save_pretrained("bert")
    Path("reviews.txt").write_text("the good film\nthe bad book was read\n")
    assert as_json("coverage", "bert")["ok"]  # on a made-up text
    names = as_json("names", "bert", "a good film")
    assert names["inputs"][0]["name"] == "input_ids"
    assert as_json("plan", "bert", "reviews.txt", "--policy", "keep")["policies"]
    assert as_json("check", "bert", "--inputs", "reviews.txt", "--target", "positive")["ok"]
    for arguments, words in [
        (("coverage", "bert", "--image-size", 3), "--image-size: transform= would be ignored"),
        (("check", "bert", "--target", "positive"), "name its inputs"),
        (("check", "bert", "--inputs", "reviews.txt", "--target", "goood"), "no class 'goood'"),
    ]:
        result = run(*arguments)
        assert result.exit_code == 1
        assert words in result.stderr


def test_one_image_of_a_folder_is_looked_at(folder: Path) -> None:
    draw_images(folder, 3)
    view = ("view", "brought_models:image", "images", "--traces", 0, "--html", "look.html")
    result = run(*view, "--sample", 1, "--classes", "cat,dog", "--target", "dog")
    assert result.exit_code == 0, result.output
    assert "<title>" in Path("look.html").read_text()
    for more, words in [
        (("--sample", 9), "there is no sample 9: the data have 3"),
        (("--target", "cow", "--classes", "cat,dog"), "no class 'cow'"),
    ]:
        refused = run(*view, *more)
        assert refused.exit_code == 1
        assert words in refused.stderr
