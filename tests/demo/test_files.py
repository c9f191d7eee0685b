"""Bytes of files as the demo's model reads them, and as they are shown."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lrp_engine.demo.byte_words import pieces_of_bytes
from lrp_engine.demo.exhibits.file_types import make_cases
from lrp_engine.demo.file_bytes import FILL, WINDOW, FileBytes
from lrp_engine.errors import InputError


def words(content: bytes) -> list[str]:
    """The words of some bytes."""
    found: dict[object, str] = {}
    for piece in pieces_of_bytes(content):
        found[piece.word] = found.get(piece.word, "") + piece.text
    return list(found.values())


def test_names_and_signs_are_words() -> None:
    assert words(b'if a_1 == """x"""') == ["if", " ", "a_1", " ", "==", " ", '"""', "x", '"""']
    assert words(b"a\r\n\n\tb") == ["a", "\n", "\n", "    ", "b"]


def test_there_is_a_piece_per_byte() -> None:
    for content in ("grün €", "a"), ("x" * 9, "b"):
        raw = content[0].encode() + b"\xff"
        assert len(pieces_of_bytes(raw)) == len(raw)
    assert words("grün".encode()) == ["grün"]


def test_what_is_no_text_is_numbers() -> None:
    assert words(bytes([0, 255, 137, 80])) == ["00", "ff", "89", "50"]


@pytest.mark.parametrize("size", [8, 1000, 1024, 1500, 2048, 5000])
def test_every_byte_is_counted(size: int) -> None:
    file = FileBytes(bytes(32 + i % 90 for i in range(size)))
    tokens = file.tokens()
    assert tokens.shape == (1, 2 * WINDOW)
    once = torch.ones(1, 2 * WINDOW, 257) / 257
    sums = file.sum_up(once)
    assert sums.shape == (1, file.shown + 1)
    assert float(sums.sum()) == pytest.approx(2 * WINDOW, rel=1e-4)
    assert float(sums[0, -1]) == pytest.approx(float((tokens == FILL).sum()), abs=1e-2)
    pieces = file.pieces()
    assert len(pieces) == sums.shape[1]
    dots = [place for place, piece in enumerate(pieces) if piece.text.startswith("…")]
    assert dots == ([WINDOW] if size > 2 * WINDOW else [])


def test_blanked_bytes_are_fill_in_both_windows() -> None:
    file = FileBytes(b"abcdefgh")
    held = torch.nn.functional.one_hot(file.tokens().long(), 257).float()
    mask = torch.zeros(1, 8, dtype=torch.bool)
    mask[0, 2] = True
    changed = file.blank(held, mask).argmax(-1)
    assert changed[0, :8].tolist() == [97, 98, FILL, 100, 101, 102, 103, 104]
    assert changed[0, -8:].tolist() == changed[0, :8].tolist()


def test_long_files_are_read_at_both_ends(tmp_path: Path) -> None:
    file = tmp_path / "long.bin"
    file.write_bytes(b"\n" + b"a" * 50_000 + b"z \n")
    (case,) = make_cases([file])
    tokens = case.inputs["bytes"]
    assert case.name == "long.bin"
    assert tokens[0, 0] == ord("a")
    assert tokens[0, -1] == ord("z")


def test_short_and_missing_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "short.txt"
    file.write_bytes(b"  a b  ")
    with pytest.raises(InputError, match="8 bytes"):
        make_cases([file])
    with pytest.raises(InputError):
        make_cases([tmp_path / "none.txt"])
