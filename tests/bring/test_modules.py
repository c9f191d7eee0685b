"""Plain modules, ONNX bytes and .pt2 files are explained on images, tables, series and sound."""

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.errors import InputError
from lrp_engine.show.axes import Axis
from tests.support import assert_close


@cache
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3)).eval()


ROWS = np.random.default_rng(0).normal(size=(5, 4))


def test_tensors_are_what_the_engine_is_called_with() -> None:
    x = torch.from_numpy(ROWS).float()
    found = lrp.explain(net(), x, [0, 1, 2, "predicted", {0: 1, 2: -1}], preset="epsilon")
    engine = lrp.Engine(net(), x, preset="epsilon")
    expected = engine.explain(x, [0, 1, 2, "predicted", {0: 1, 2: -1}])
    assert torch.equal(found.relevance["input"], expected.relevance["input"])


def test_arrays_tables_and_files_give_the_same_numbers(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(ROWS, columns=list("abcd"))
    np.save(tmp_path / "rows.npy", ROWS)
    np.savez(tmp_path / "rows.npz", input=ROWS)
    table.to_csv(tmp_path / "rows.csv", index=False)
    subject = lrp.Subject(net(), features=list("abcd"))
    expected = subject.explain(torch.from_numpy(ROWS).float(), 1)
    dicts = table.to_dict("records")
    paths = [tmp_path / f"rows.{e}" for e in ("npy", "npz", "csv")]
    for data in (ROWS, table[list("dcba")], dicts, list(ROWS), *paths):
        found = subject.explain(data, 1)
        assert_close(found.relevance["input"], expected.relevance["input"], 1e-6)
        assert found.labels.of("input").feature_names == tuple("abcd")


def test_batches_go_on_with_targets_per_sample() -> None:
    subject = lrp.Subject(net())
    targets = [0, 1, 2, 1, 0]
    whole = subject.explain(ROWS, targets)
    parts = list(subject.explain_batches(ROWS, targets, batch=2))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert_close(torch.cat([p.relevance["input"] for p in parts]), whole.relevance["input"], 1e-6)


def test_a_program_and_a_file_of_onnx_are_opened(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    x = torch.from_numpy(ROWS).float()
    torch.export.save(torch.export.export(net(), (x,)), tmp_path / "m.pt2")
    linear = net()[0]
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n, 4] x) => (float[n, 3] y) { y = Gemm <transB = 1> (x, w, b) }"""
    graph = onnx.parser.parse_model(text)
    for name, value in (("w", linear.weight), ("b", linear.bias)):
        array = onnx.numpy_helper.from_array(value.detach().numpy(), name)
        graph.graph.initializer.append(array)
    expected = lrp.explain(net(), x, 1, preset="epsilon")
    for model in (str(tmp_path / "m.pt2"), graph, graph.SerializeToString()):
        found = lrp.explain(model, ROWS, 1, preset="epsilon")
        (relevance,) = found.relevance.values()
        assert_close(relevance, expected.relevance["input"], 1e-6)


def test_an_onnx_file_reads_texts_by_the_names_of_its_inputs() -> None:
    onnx = pytest.importorskip("onnx")
    from tests.bring import nets

    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (int64[n, t] input_ids, int64[n, t] attention_mask) => (int64[n, t] y)
        { y = Mul (input_ids, attention_mask) }"""
    model = onnx.parser.parse_model(text)
    read = lrp.Subject(model, tokenizer=nets.wordpiece()).read(["a film", "the good film"])
    assert list(read.inputs) == ["input_ids", "attention_mask"]
    assert read.inputs["attention_mask"].sum(1).tolist() == [4, 5]


class Transform:
    """A transform that says, as torchvision's do, what it brings images to."""

    mean, std = (0.5,), (0.25,)

    def __call__(self, image: Any) -> Tensor:
        pixels = torch.from_numpy(np.array(image.resize((6, 6)))).float() / 255
        return (pixels.permute(2, 0, 1) - 0.5) / 0.25


def test_images_of_every_make_go_through_the_transform(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 36, 2)).eval()
    image = pillow.new("RGB", (8, 10), (200, 100, 0))
    image.save(tmp_path / "a.png")
    subject = lrp.Subject(model, transform=Transform(), classes=["cat", "dog"])
    forms = [image, tmp_path / "a.png", str(tmp_path / "a.png"), np.asarray(image), tmp_path]
    found = [subject.explain(form, "dog") for form in forms]
    for one in found:
        assert_close(one.relevance["input"], found[0].relevance["input"], 1e-6)
    (shown,) = found[0].labels.of("input").images
    expected = torch.tensor([200.0, 100.0, 0.0]) / 255
    assert_close(shown.mean((1, 2)), expected, 1e-5)


def test_sound_and_series_know_their_rate_and_axes(tmp_path: Path) -> None:
    wavfile = pytest.importorskip("scipy.io.wavfile")
    wave = (np.sin(np.arange(400) / 5) * 30000).astype(np.int16)
    wavfile.write(tmp_path / "a.wav", 8000, wave)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Unflatten(1, (1, 400)), nn.Conv1d(1, 2, 9), nn.AdaptiveMaxPool1d(1),
                          nn.Flatten()).eval()  # fmt: skip
    subject = lrp.Subject(model, rate=8000)
    floats = wave / 32768
    forms = [tmp_path / "a.wav", (floats, 8000), {"array": floats, "sampling_rate": 8000}]
    found = [subject.explain(form, "predicted") for form in forms]
    for one in found:
        assert_close(one.relevance["input"], found[0].relevance["input"], 1e-6)
        assert one.labels.of("input").rate == 8000
    with pytest.raises(InputError, match="16000 samples per second, the model takes 8000"):
        subject.read((floats, 16000))
    series = lrp.Subject(nn.Flatten(), axes="channel time", rate=250, features=["C3", "C4", "Cz"])
    labels = series.read(torch.ones(2, 3, 10)).sources[""]
    assert labels.axes == (Axis.BATCH, Axis.CHANNEL, Axis.TIME)
    assert labels.rate == 250


def test_a_table_of_texts_is_read_as_texts(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"text": ["a film", "the good film"], "label": ["bad", "good"]})
    table.to_csv(tmp_path / "texts.csv", index=False)
    embed = nn.Sequential(nn.Embedding(40, 4), nn.Flatten(), nn.LazyLinear(2)).eval()
    subject = lrp.Subject(embed, tokenizer=lambda text: [len(word) for word in text.split()])
    for data in (table, tmp_path / "texts.csv"):
        found = subject._reader(data).samples(data)
        assert [s.value for s in found] == ["a film", "the good film"]
        assert [s.truth for s in found] == ["bad", "good"]
    assert len(subject._reader(table[["text"]]).samples(table[["text"]])) == 2
    for mixed, words in [
        (table.assign(age=[1, 2]), r"columns text, label, age, .* give the column alone"),
        (table.rename(columns={"text": "review"}), "give the column alone"),
        (table.assign(text=[1, 2]), "holds 1, which is no text"),
    ]:
        with pytest.raises(InputError, match=words):
            subject.read(mixed)


def test_compressed_sound_is_read_by_soundfile(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    wave = np.sin(np.arange(800) / 5).astype(np.float32) / 2
    soundfile.write(tmp_path / "a.flac", wave, 8000)
    subject = lrp.Subject(nn.Flatten(), rate=8000)
    np.testing.assert_allclose(subject.read(tmp_path / "a.flac").inputs[0][0], wave, atol=1e-4)
    (tmp_path / "b.ogg").write_bytes(b"no sound")
    with pytest.raises(InputError, match=r"as a \.ogg file"):
        subject.read(tmp_path / "b.ogg")


def test_compressed_sound_without_soundfile_says_so(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.mp3").write_bytes(b"")
    with pytest.raises(InputError, match="pip install soundfile"):
        lrp.Subject(nn.Flatten()).read(tmp_path / "a.mp3")


def test_sounds_of_several_lengths_are_explained_one_by_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = nn.Conv1d(1, 2, 5), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2, 2)
    subject = lrp.Subject(nn.Sequential(nn.Unflatten(1, (1, -1)), *layers).eval(), rate=8.0)
    sounds = [(np.ones(20, np.float32), 8), (np.ones(30, np.float32), 8)]
    with pytest.raises(InputError, match="or one by one"):
        subject.explain(sounds, 0)
    found = list(subject.explain_batches(sounds, 0, batch=1))
    assert [each.relevance["input"].shape[1] for each in found] == [20, 30]
