"""With a guard of the boundary switched off, the fault shows that it is there for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import lrp_engine as lrp
from lrp_engine.boundary import arrays, exported_program, reading, tables, writing
from lrp_engine.checks import config
from lrp_engine.cli.app import app
from lrp_engine.errors import InputError, LrpError
from tests.boundary.test_file_faults import LOADERS, exported

Guard = pytest.MonkeyPatch


@contextmanager
def unguarded(path: str | Path, *_: Any, **__: Any) -> Iterator[Path]:
    yield Path(path)


@pytest.mark.parametrize("name", ["npz", "pt", "safetensors"])
def test_damaged_arrays_raise_what_their_library_raises(
    tmp_path: Path, monkeypatch: Guard, name: str
) -> None:
    load, good, ending = LOADERS[name]
    path = tmp_path / f"cut{ending}"
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(LrpError):
        load(path)
    monkeypatch.setattr(arrays, "reading", unguarded)
    with pytest.raises(Exception) as raised:  # any but ours
        load(path)
    assert not isinstance(raised.value, LrpError)


def test_text_that_is_not_utf8_raises_pythons_error(tmp_path: Path, monkeypatch: Guard) -> None:
    path = tmp_path / "lrp.toml"
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(InputError, match="not UTF-8"):
        tables.read_toml(path)
    monkeypatch.setattr(reading, "reading", unguarded)
    with pytest.raises(UnicodeDecodeError):
        tables.read_toml(path)


def test_a_pipe_is_waited_for(tmp_path: Path, monkeypatch: Guard) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    with pytest.raises(LrpError, match="not a regular file"):
        tables.read_json_object(pipe)
    monkeypatch.setattr(reading, "_refuse_irregular", lambda path: None)
    found: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: found.append(tables.read_json_object(pipe)))
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    pipe.write_text("{}")  # lets it go on
    thread.join()
    assert found == [{}]


def test_a_file_that_expands_is_read(tmp_path: Path, monkeypatch: Guard) -> None:
    monkeypatch.setattr(arrays, "_EXPANDED", 1 << 16)
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros(1 << 18))
    with pytest.raises(InputError, match="expands to"):
        arrays.read_npz(path)
    monkeypatch.setattr(arrays, "_refuse_bomb", lambda *_: None)
    assert arrays.read_npz(path)["x"].numel() == 1 << 18


def test_nested_data_break_what_walks_over_them(monkeypatch: Guard) -> None:
    text = '{"a":' * 5000 + "1" + "}" * 5000
    deep = '{"a":' * 300 + "1" + "}" * 300
    for given in (text, deep):
        with pytest.raises(InputError, match="nested too deeply"):
            tables.parse_json(given, "it")
    monkeypatch.setattr(tables, "_shallow", lambda value: value)
    assert tables.parse_json(deep, "it")


def test_code_in_a_size_is_run(tmp_path: Path, monkeypatch: Guard) -> None:
    good, bad, ran = exported(tmp_path), tmp_path / "bad.pt2", tmp_path / "ran"
    harmful = f"__import__('os').mkdir('{ran}') or Symbol(".encode()
    replace_in_archive(good, bad, b"Symbol(", harmful)
    with pytest.raises(LrpError, match="is no size"):
        exported_program.read_exported(bad)
    assert not ran.exists()
    monkeypatch.setattr(exported_program, "_refuse_harmful", lambda archive: None)
    with pytest.raises(LrpError):
        exported_program.read_exported(bad)
    assert ran.exists()


def replace_in_archive(old: Path, new: Path, what: bytes, by: bytes) -> None:
    import zipfile

    with zipfile.ZipFile(old) as source, zipfile.ZipFile(new, "w") as made:
        for name in source.namelist():
            data = source.read(name)
            made.writestr(name, data.replace(what, by) if name.endswith(".json") else data)


def test_a_wrong_kind_in_a_table_is_taken(tmp_path: Path, monkeypatch: Guard) -> None:
    file = tmp_path / "lrp.toml"
    file.write_text('[[check]]\nmodel = "m:f"\ntarget = 0\nbatch = "8"\n')
    with pytest.raises(LrpError, match="batch is a whole number"):
        config.read_cases(file)
    monkeypatch.setattr(config, "check_table", lambda *_: None)
    (case,) = config.read_cases(file)
    assert case.batch == "8"


def test_a_write_that_fails_leaves_half_a_file(tmp_path: Path, monkeypatch: Guard) -> None:
    path = tmp_path / "kept.txt"
    writing.write_text(path, "whole")

    def write_half() -> None:
        with writing.replacing(path) as file:
            file.write_text("ha")
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_half()
    assert path.read_text() == "whole"
    monkeypatch.setattr(writing, "replacing", unguarded)
    with pytest.raises(OSError, match="no space"):
        write_half()
    assert path.read_text() == "ha"


def test_code_of_the_users_raises_its_own_error(monkeypatch: Guard) -> None:
    engine = lrp.Engine(nn.Linear(4, 3).eval(), torch.ones(2, 4))
    monkeypatch.setattr("lrp_engine.run.target.calling", lambda what: nullcontext())
    with pytest.raises(ZeroDivisionError):
        engine.explain(torch.ones(2, 4), lambda logits: logits / (1 // 0))


def test_a_factory_that_exits_is_not_named(tmp_path: Path, monkeypatch: Guard) -> None:
    (tmp_path / "exits.py").write_text("import sys\ndef f():\n    sys.exit(0)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    run: Callable[[], Any] = lambda: CliRunner().invoke(app, ["coverage", "exits:f"])  # noqa: E731
    assert "exits:f failed: SystemExit" in run().stderr
    monkeypatch.setattr("lrp_engine.cli.bring_steps.calling", lambda what: nullcontext())
    assert "exits:f failed" not in run().stderr
