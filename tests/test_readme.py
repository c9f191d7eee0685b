"""Check that README and docs/ are true: code runs, commands exist, links point to files."""

import re
import shlex
from pathlib import Path

import pytest
import typer

import lrp_engine as lrp
from lrp_engine.checks.config import read_cases
from lrp_engine.cli.app import app

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
ALL_PAGES = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md"]
# Compiling is slow: the blocks of this page run once, in a fixture of the tests that need them.
RUN_BY = {"docs/packages.md": "tests/test_package.py"}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def write_files(page: Path, folder: Path) -> None:
    """Write every TOML block that begins with `# NAME.toml` to a file of that name."""
    for block in blocks(page, "toml"):
        named = re.match(r"# (\w+\.toml)\n", block)
        assert named, f"{name_of(page)}: a TOML block must begin with the name of its file"
        (folder / named[1]).write_text(block)


def run_blocks(page: Path, folder: Path) -> dict[str, object]:
    """Execute the Python blocks of a page in one namespace, and return it."""
    write_files(page, folder)
    names: dict[str, object] = {}
    for number, block in enumerate(blocks(page, "python")):
        exec(compile(block, f"{name_of(page)}, python block {number}", "exec"), names)
    return names


def commands(page: Path) -> list[list[str]]:
    """Return the words of every `lrp ...` line in the shell blocks of a page."""
    lines = [
        line.rpartition("&& ")[2] for block in blocks(page, "sh") for line in block.splitlines()
    ]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("lrp ")]


def names_after_running(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, object]:
    for module in (
        "sklearn",
        "transformers",
        "matplotlib",
        "onnxscript",
        "skl2onnx",
        "onnxruntime",
        "pandas",
        "PIL",
    ):
        pytest.importorskip(module)
    monkeypatch.chdir(folder)
    return run_blocks(ROOT / name, folder)


RUNNABLE = [name_of(p) for p in PAGES if blocks(p, "python") and name_of(p) not in RUN_BY]


SLOW = {"docs/circuits.md", "docs/feature-circuits.md"}  # half a minute of computing each
ELSEWHERE = {"README.md", "docs/presets.md"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else [])
        for n in RUNNABLE
        if n not in ELSEWHERE
    ],
)
def test_python_blocks_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names_after_running(name, tmp_path, monkeypatch)


def test_python_blocks_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = names_after_running("README.md", tmp_path, monkeypatch)
    assert "doctor" in str(names["page"])
    saved = names["same"]
    assert isinstance(saved, lrp.Explanation)
    assert saved.explained.shape == (8,)


def test_the_preset_of_the_page_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    explanation = names_after_running("docs/presets.md", tmp_path, monkeypatch)["explanation"]
    assert isinstance(explanation, lrp.Explanation)
    assert explanation.ledger.absorbed["stabiliser"] > 1


@pytest.mark.parametrize("page, test", RUN_BY.items())
def test_pages_left_out_are_run_elsewhere(page: str, test: str) -> None:
    assert f'compile(block, "{page}"' in (ROOT / test).read_text()


@pytest.mark.parametrize(
    "page, words",
    [(page, words) for page in PAGES for words in commands(page)],
    ids=lambda value: name_of(value) if isinstance(value, Path) else " ".join(value),
)
def test_commands_exist(page: Path, words: list[str]) -> None:
    found = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    known = {name for parameter in found.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_file_of_checks_is_read(tmp_path: Path) -> None:
    write_files(ROOT / "docs" / "checks.md", tmp_path)
    names = [case.name for case in read_cases(tmp_path / "lrp.toml")]
    assert names == ["digits[epsilon]", "digits[attnlrp]"]


def test_named_presets_exist() -> None:
    section = README.read_text().partition("## Presets")[2].partition("\n## ")[0]
    rows = "".join(line for line in section.splitlines() if line.startswith("|"))
    assert set(re.findall(r"`(\w+)`", rows)) == set(lrp.presets())


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_linked_files_exist_and_are_small(page: Path) -> None:
    links = re.findall(r'\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)|src="([^"]+)"', page.read_text())
    for link in (a or b for a, b in links):
        assert (page.parent / link).stat().st_size < 200_000, link


def test_the_readme_is_short_and_names_every_page() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= 250
    for page in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in text, page.name


@pytest.mark.parametrize(
    "page", [*ALL_PAGES, *(ROOT / "examples").rglob("*.yml"), *(ROOT / "examples").rglob("*.md")]
)
def test_no_page_promises_a_package_index(page: Path) -> None:
    assert not re.search(r"pip install '?lrp[-_]engine", page.read_text())


@pytest.mark.parametrize("page", [ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"], ids=name_of)
def test_named_paths_exist(page: Path) -> None:
    """Paths from the root, and those of ARCHITECTURE's walk, which start in the package."""
    for named in re.findall(r"`([\w./-]+(?:\.(?:py|txt|bib|toml)|/))`", page.read_text()):
        if "/" in named and named not in {"rules/bessel.py"}:
            assert (ROOT / named).exists() or (ROOT / "lrp_engine" / named).exists(), named


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "design").glob("*.md")), ids=name_of)
def test_paths_of_decisions_exist(page: Path) -> None:
    """Every decision ends with its files; a bare name is in the folder of the one before it."""
    for line in re.findall(r"^Where: (.*)$", page.read_text(), re.MULTILINE):
        folder = ROOT
        for named in re.findall(r"`([^`]+)`", line):
            path = ROOT / named if "/" in named else folder / named
            assert path.exists(), named
            folder = path.parent


def test_every_folder_of_the_package_has_a_line_in_the_table() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for folder in (ROOT / "lrp_engine").iterdir():
        if (folder / "__init__.py").exists() and folder.name != "rules":
            assert f"| `lrp_engine/{folder.name}/` |" in text, folder.name
    assert len(text.splitlines()) <= 200
