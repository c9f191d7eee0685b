"""`lrp circuit` and the prompt files that it reads."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lrp_engine.circuits.prompts import by_length, read_prompts
from lrp_engine.cli.app import app
from lrp_engine.demo.ioi import ioi_prompts, tokenize
from lrp_engine.errors import InputError

DEMO = "lrp_engine.demo.ioi"


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """Four pairs of two lengths, as EAP-IG's CSV has them."""
    path = tmp_path / "prompts.csv"
    chosen = [*ioi_prompts(0)[:3], *ioi_prompts(2)[:1]]
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["clean", "corrupted", "label"])
        for p in chosen:
            pair = [*tokenize([p["answer"]]), *tokenize([p["wrong"]])]
            out.writerow([" ".join(p["clean"]), " ".join(p["corrupt"]), pair])
    return path


def test_files_are_read_alike(prompts: Path, tmp_path: Path) -> None:
    from_csv = read_prompts(prompts, tokenize)
    lines = [*ioi_prompts(0)[:3], *ioi_prompts(2)[:1]]
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    assert read_prompts(path, tokenize) == from_csv
    batches = by_length(from_csv)
    assert [len(b.clean["input_ids"]) for b in batches] == [3, 1]


def test_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("clean,corrupted\na b,a c\n")
    with pytest.raises(InputError, match="a tokenizer is needed"):
        read_prompts(path)
    with pytest.raises(InputError, match="no answer or label"):
        read_prompts(path, lambda text: [len(w) for w in text.split()])
    path.write_text("clean,corrupted,label\na b,a,1\n")
    with pytest.raises(InputError, match="equal length"):
        read_prompts(path, lambda text: [len(w) for w in text.split()])
    with pytest.raises(InputError, match="prompts are read from"):
        read_prompts(tmp_path / "prompts.txt")


def test_the_command_writes_what_is_asked_for(prompts: Path, tmp_path: Path) -> None:
    files = {name: tmp_path / f"out/c.{name}" for name in ("html", "svg", "graphml", "dot", "eap")}
    options = [f"--html={files['html']}", f"--plot={files['svg']}", f"--eap={files['eap']}"]
    options += [f"--graphml={files['graphml']}", f"--dot={files['dot']}"]
    model = [f"{DEMO}:load_ioi_model", str(prompts), f"--tokenizer={DEMO}:tokenize"]
    settings = ["--sample=20", "--edges=40", "--json"]
    result = CliRunner().invoke(app, ["circuit", *model, *options, *settings])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["prompts"] == 4
    assert found["faithfulness"] > 0.8
    assert found["verification"]["trust"] in ("VALUES", "ORDER", "HINT")
    assert all(path.stat().st_size > 500 for path in files.values())
    assert "exact patching" in files["html"].read_text()


def test_an_estimator_of_two_runs_by_name(prompts: Path) -> None:
    model = [f"{DEMO}:load_ioi_model", str(prompts), f"--tokenizer={DEMO}:tokenize"]
    settings = ["--estimator=delta", "--sample=10", "--edges=30", "--json"]
    result = CliRunner().invoke(app, ["circuit", *model, *settings])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["estimator"] == "delta"
    assert set(found["sums"]) == {"edges out of input", "edges into logits"}
    assert all(ratio == pytest.approx(1, abs=1e-4) for ratio in found["sums"].values())
    assert found["faithfulness"] > 0.8


@pytest.mark.parametrize("kind", ["html", "plot", "graphml", "dot", "eap", "save"])
def test_a_wrong_ending_is_refused_before_anything_is_computed(kind, monkeypatch) -> None:
    monkeypatch.setattr("lrp_engine.cli.circuit_inputs.load_demo", None)
    result = CliRunner().invoke(app, ["circuit", "--demo", f"--{kind}=out.txt"])
    assert result.exit_code == 1
    assert "name it so" in result.stderr


def test_wrong_usage() -> None:
    result = CliRunner().invoke(app, ["circuit"])
    assert result.exit_code == 2
    assert "--demo" in result.stderr
