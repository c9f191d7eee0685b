"""The notebook of examples/ runs, and every cell shows itself as text and as HTML."""

from __future__ import annotations

from pathlib import Path

import pytest

from .parsed import parse

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"


def test_the_notebook_is_stored_without_results() -> None:
    text = NOTEBOOK.read_text("utf-8")
    assert '"outputs": []' in text
    assert '"output_type"' not in text


@pytest.mark.slow
def test_every_cell_shows_itself() -> None:
    nbformat = pytest.importorskip("nbformat", reason="needs the extra `notebook`")
    preprocessors = pytest.importorskip("nbconvert.preprocessors")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    run = preprocessors.ExecutePreprocessor(timeout=300, kernel_name="python3")
    run.preprocess(notebook, {"metadata": {"path": str(NOTEBOOK.parent)}})
    shown = [
        output.data
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]
    assert len(shown) == sum(cell.cell_type == "code" for cell in notebook.cells)
    for data in shown[:-1]:  # the last is the name of a file
        assert not parse(data["text/html"]).find("script")
    own = shown[:-2]  # the one before is IPython's own
    assert all(2 <= len(data["text/plain"].splitlines()) <= 10 for data in own)
    assert shown[-1]["text/plain"] == "'why.html'"
