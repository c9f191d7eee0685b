"""The page: its data come back as they were, text cannot break out, budgets are kept."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import struct
from dataclasses import asdict, replace
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
import torch

from lrp_engine.errors import InputError
from lrp_engine.explorer import write_page
from lrp_engine.explorer.page import bundle
from lrp_engine.explorer.serve import LIVE, LivePage, address_of, serve
from lrp_engine.show.colours import DARK, LIGHT

from .small import WORDS, text_exploration, text_scene

WEB = Path(__file__).parents[2] / "web"


def _unpack(text: str) -> tuple[dict, np.ndarray]:
    data = gzip.decompress(base64.b64decode(text))
    (length,) = struct.unpack_from("<I", data)
    words = json.loads(data[4 : 4 + length])
    return words, np.frombuffer(data[4 + length :], "<f2").astype(float)


def _scene_in(page: str) -> tuple[dict, np.ndarray]:
    found = re.search(r'id="scene">([^<]*)<', page)
    assert found
    return _unpack(found[1])


def _read(numbers: np.ndarray, place: dict) -> torch.Tensor:
    at = slice(place["at"], place["at"] + place["size"])
    return torch.tensor(numbers[at] * place["scale"])


def test_numbers_come_back() -> None:
    scene = text_scene()
    words, numbers = _scene_in(write_page(scene))
    assert words["words"] == WORDS
    for target, packed in zip(scene.targets, words["targets"], strict=True):
        found = _read(numbers, packed["relevance"])
        limit = float(target.relevance.abs().max())
        torch.testing.assert_close(found, target.relevance, rtol=1e-3, atol=1e-6 * limit)
        assert target.traces is not None
        assert packed["traces"]["nodes"] == list(target.traces.nodes)
        assert len(target.traces.nodes) == sum(bool(r) for r in target.relevance != 0)


def test_the_same_scene_gives_the_same_bytes() -> None:
    assert write_page(text_scene()) == write_page(text_scene())


def test_text_cannot_leave_its_place() -> None:
    scene = replace(text_scene(), title='</title><script>alert("x")</script>')
    page = write_page(scene, live="</script><script>")
    assert "alert(" not in page.replace(html.escape(scene.title), "")
    assert page.count("<script") == 3
    assert page.count("</script>") == 3


def test_nothing_is_loaded() -> None:
    page = write_page(text_scene())
    outside = re.sub(r"/\*!.*?\*/", "", page, flags=re.S)  # licences name places
    assert not re.search(r'(src|href)="(?!data:)', outside)
    assert "default-src 'none'" in page


def test_traces_give_way_to_the_limit() -> None:
    whole = write_page(text_scene())
    data = len(re.search(r'id="scene">([^<]*)<', whole)[1])  # type: ignore[index]
    words, _ = _scene_in(write_page(text_scene(), limit=data - 100))
    assert any("traces were left out" in note for note in words["notes"])
    few = words["targets"][0]["traces"]["nodes"]
    assert few == list(text_scene().targets[0].traces.nodes[: len(few)])  # type: ignore[union-attr]
    with pytest.raises(InputError, match="without traces"):
        write_page(text_scene(), limit=100)


def test_the_bundle_is_small_and_names_its_licences() -> None:
    text = bundle()
    assert len(text.encode()) <= 120_000
    assert "MIT" in text
    assert "Jason Miller" in text
    assert "</script" not in text


def test_a_server_answers_those_who_know_the_token() -> None:
    exploration = text_exploration()
    live = LivePage(
        write_page(text_scene(), live=LIVE), lambda target, node: exploration.trace(target, [node])
    )
    with serve(live) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = address_of(server, live)
        with urlopen(address) as answer:
            assert '<main id="app">' in answer.read().decode()
        with urlopen(f"{address}trace?target=1&node=5") as answer:
            words, numbers = _unpack(answer.read().decode())
        assert words["nodes"] == [5]
        exact = exploration.trace(1, [5]).amounts[0]
        torch.testing.assert_close(_read(numbers, words["amounts"][0]), exact, rtol=1e-3, atol=1e-4)
        for wrong in ("trace?target=1", "trace?target=99&node=0", "other"):
            with pytest.raises(HTTPError):
                urlopen(address + wrong)
        with pytest.raises(HTTPError):
            urlopen(address.replace(live.token, "guess"))
        server.shutdown()
    assert live.answer("evil.example:80", f"/{live.token}/")[0] is HTTPStatus.FORBIDDEN


def test_colours_are_those_of_the_pictures() -> None:
    found = json.loads((WEB / "src" / "colours.json").read_text())
    for name, theme in (("light", LIGHT), ("dark", DARK)):
        assert {k: tuple(v) if k == "scale" else v for k, v in found[name].items()} == asdict(theme)
