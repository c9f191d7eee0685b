"""Files that are damaged in any way give an error of this package, or a result; nothing else."""

import io
import json
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lrp_engine.boundary.arrays import read_npz, read_pt, read_safetensors
from lrp_engine.boundary.exported_program import read_exported
from lrp_engine.boundary.tables import read_csv, read_json_lines, read_json_object, read_toml
from lrp_engine.checks.config import read_cases
from lrp_engine.checks.golden import Golden
from lrp_engine.circuits.prompts import read_prompts
from lrp_engine.errors import CaptureError, InputError, LrpError, PresetError
from lrp_engine.method.registry import standard
from lrp_engine.preset.preset_file import load, load_preset
from lrp_engine.results.explanation import Explanation
from lrp_engine.results.store import FORMAT
from tests.support import draw

TOML = b'extends = "epsilon"\n[[rule]]\nfamily = "linear"\nuse = "adjoint"\nmodule = "a.*"\n'
CHECKS = b'[budget]\nresidual = 1e-4\nabsorbed.bias = 0.3\n[[check]]\nmodel = "m:f"\ntarget = [1]\n'
ROWS = b'{"clean": [1, 2], "corrupt": [2, 2], "answer": 1, "wrong": 2}\n'
CSV = b'clean,corrupt,answer\n"[1, 2]","[2, 2]",1\n'


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.ones((2, 3), "f4"), y=np.arange(3))
    return file.getvalue()


def pt() -> bytes:
    file = io.BytesIO()
    torch.save({"x": torch.ones(2, 3)}, file)
    return file.getvalue()


def safetensors() -> bytes:
    from safetensors.torch import save

    return save({"x": torch.ones(2, 3)}, {"format": FORMAT})


LOADERS: dict[str, tuple[Callable[[Path], object], bytes, str]] = {
    "preset": (lambda p: load(p, standard()), TOML, ".toml"),
    "checks": (read_cases, CHECKS, ".toml"),
    "toml": (read_toml, TOML, ".toml"),
    "json": (read_json_object, json.dumps({"a": [1, {"b": None}]}).encode(), ".json"),
    "json lines": (read_json_lines, ROWS * 2, ".jsonl"),
    "csv": (read_csv, CSV, ".csv"),
    "prompts": (read_prompts, ROWS * 2, ".jsonl"),
    "prompts in csv": (read_prompts, CSV, ".csv"),
    "golden": (lambda p: Golden.load(p.with_suffix("")), b'{"format": "x"}', ".json"),
    "npz": (read_npz, npz(), ".npz"),
    "pt": (read_pt, pt(), ".pt"),
    "safetensors": (read_safetensors, safetensors(), ".safetensors"),
    "explanation": (Explanation.load, safetensors(), ".safetensors"),
}


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Cut, flip, repeat, remove or insert some bytes."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(5):
            case 0:
                out = out[:at]
            case 1 if out:
                out[at % len(out)] = rng.randrange(256)
            case 2:
                out[at:at] = out[at : at + rng.randint(1, 30)]
            case 3:
                del out[at : at + rng.randint(1, 20)]
            case _:
                out[at:at] = rng.choice([b"[", b"{", b'"', b"=", b"\xff", b"-1", b"1e999", b"null"])
    return bytes(out)


def held(load: Callable[[Path], object], path: Path) -> bool:
    """Whether a file loads; anything but an error of ours is a failure of the test."""
    try:
        load(path)
    except LrpError as error:
        return not str(error)
    return True


@pytest.mark.parametrize("name", LOADERS)
def test_mutated_files_raise_nothing_else(tmp_path: Path, name: str) -> None:
    load_file, good, ending = LOADERS[name]
    rng, path = random.Random(name), tmp_path / f"file{ending}"
    for _ in range(120):
        path.write_bytes(mutated(good, rng))
        held(load_file, path)


@pytest.mark.parametrize("name", LOADERS)
def test_files_that_are_none(tmp_path: Path, name: str) -> None:
    load_file, _, ending = LOADERS[name]
    folder, pipe = tmp_path / f"folder{ending}", tmp_path / f"pipe{ending}"
    folder.mkdir()
    os.mkfifo(pipe)  # reading it would wait forever
    deep, empty = tmp_path / f"deep{ending}", tmp_path / f"empty{ending}"
    deep.write_text("a = " + "[" * 5000 if ending == ".toml" else '{"a":' * 5000)
    empty.write_bytes(b"")
    absent = tmp_path / f"absent{ending}"
    for path in (folder, pipe, deep, empty, absent, tmp_path / ("x" * 200 + ending)):
        if (name == "golden" and not path.exists()) or name in ("toml", "csv", "json lines"):
            continue  # no golden result yet; an empty table is one
        assert not held(load_file, path) or path is empty


def test_types_in_a_file_of_checks(tmp_path: Path) -> None:
    file = tmp_path / "lrp.toml"
    for line in (
        "batch = 0", 'batch = "8"', "presets = []", "presets = [1]", "sources = 3", "inputs = 4",
        "golden = 1", "position = 1.5", "target = true", "budget = 3", "images = {size = []}",
        "images = {mean = ['a']}", "preset = 3", "name = 3", "rules = 'a'",
        "budget = {drift = {rules = inf}}",
    ):  # fmt: skip
        file.write_text(f'[[check]]\nmodel = "m:f"\n{line}\n')
        assert not held(read_cases, file), line


def test_presets_that_extend_themselves(tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text(f'extends = "{second}"')
    second.write_text(f'extends = "{first}"')
    with pytest.raises(PresetError, match="extends itself"):
        load_preset(first)


class Harmful:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("unpickled",)


def test_no_pickle_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bare = pickle.dumps(Harmful())
    saved = io.BytesIO()
    torch.save(Harmful(), saved)
    objects = io.BytesIO()
    np.savez(objects, x=np.array([Harmful()], dtype=object))
    for data in (bare, saved.getvalue(), objects.getvalue()):
        for ending, read in ((".npz", read_npz), (".pt", read_pt), (".pt2", read_exported)):
            path = tmp_path / f"f{ending}"
            path.write_bytes(data)
            with pytest.raises(LrpError):
                read(path)
    assert not (tmp_path / "unpickled").exists()


def exported(folder: Path) -> Path:
    program = torch.export.export(
        torch.nn.Linear(6, 4).double(), (draw(3, 6),), dynamic_shapes=({0: torch.export.Dim.AUTO},)
    )
    torch.export.save(program, folder / "good.pt2")
    return folder / "good.pt2"


def test_an_exported_program_with_code_in_a_size_is_refused(tmp_path: Path) -> None:
    good, bad = exported(tmp_path), tmp_path / "bad.pt2"
    assert read_exported(good).graph_signature.user_inputs
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(bad, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith(".json"):
                data = data.replace(b"Symbol(", b"exec(")
            new.writestr(name, data)
    with pytest.raises(CaptureError, match="is no size"):
        read_exported(bad)


def test_a_file_that_expands_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrp_engine.boundary.arrays._EXPANDED", 1 << 16)
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros(1 << 20))
    with pytest.raises(InputError, match="expands to"):
        read_npz(path)
