"""Nothing passes on nothing: array names, endings of files, and prompts are taken at their word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from lrp_engine.checks.config import read_cases
from lrp_engine.circuits.prompts import read_prompts
from lrp_engine.cli.array_files import _as_arguments
from lrp_engine.cli.model_argument import LoadedModel
from lrp_engine.cli.output_files import OutputFiles
from lrp_engine.errors import BudgetError, InputError

LOADED = LoadedModel(nn.Linear(2, 1), ("x",))


@pytest.mark.parametrize("name", ["labels", "X", "arg1", "x0"])
def test_an_array_of_another_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="the model's arguments are x"):
        _as_arguments({name: torch.ones(1, 2)}, LOADED, Path("a.npz"))


@pytest.mark.parametrize("name", ["x", "arg0", "arr_0", "input0"])
def test_an_array_of_its_name_or_number_is_taken(name: str) -> None:
    assert len(_as_arguments({name: torch.ones(1, 2)}, LOADED, Path("a.npz"))) == 1


@pytest.mark.parametrize("kind, name", [("save", "x.npz"), ("plot", "x.html"), ("html", "x.png")])
def test_a_file_of_another_ending_is_not_written(kind: str, name: str) -> None:
    files = {"save": None, "plot": None, "html": None} | {kind: Path(name)}
    with pytest.raises(InputError, match="name it so"):
        OutputFiles(**files, sample=0)


@pytest.mark.parametrize("line", ["presets = []", "target = []", "target = {}"])
def test_a_check_of_nothing(tmp_path: Path, line: str) -> None:
    file = tmp_path / "lrp.toml"
    file.write_text(f'[[check]]\nmodel = "m:f"\n{line}\n')
    with pytest.raises(BudgetError):
        read_cases(file)


def prompts(folder: Path, **row: object) -> Path:
    file = folder / "p.jsonl"
    file.write_text(json.dumps({"clean": "a b", "corrupt": "a c", "wrong": " 8", **row}))
    return file


@pytest.mark.parametrize("answer", [" 7", "True", "[1]", "7"])
def test_with_a_tokenizer_text_is_text(tmp_path: Path, answer: str) -> None:
    seen: list[object] = []

    def tokenizer(text: str) -> list[int]:
        seen.append(text)
        return [100 + ord(c) for c in text[:1]]

    (found,) = read_prompts(prompts(tmp_path, answer=answer), tokenizer)
    assert answer in seen
    assert found.answer == 100 + ord(answer[0])


@pytest.mark.parametrize("answer", ["True", True, " cat", -1, 1.5])
def test_without_a_tokenizer_only_ids_are_ids(tmp_path: Path, answer: object) -> None:
    file = prompts(tmp_path, clean="[1, 2]", corrupt=[1, 3], wrong="8", answer=answer)
    with pytest.raises(InputError, match="no token id"):
        read_prompts(file)


def test_ids_without_a_tokenizer(tmp_path: Path) -> None:
    (found,) = read_prompts(
        prompts(tmp_path, clean="[1, 2]", corrupt=[1, 3], wrong="8", answer="7")
    )
    assert (found.clean, found.answer, found.wrong) == ((1, 2), 7, 8)
