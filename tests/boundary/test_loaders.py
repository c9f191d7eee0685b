"""Files are opened and parsed in one place: a loader elsewhere would lack its guards."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Where opening is allowed, and why.
EXEMPT = {
    "lrp_engine/onnx/external.py": "reads spans of files that `onnx/file.py` has checked",
    "lrp_engine/aot/archive.py": "reads torch's own archive behind `load_package`'s guard",
    "lrp_engine/preset/shipped.py": "files of the package itself",
    "lrp_engine/preset/choices.py": "files of the package itself",
    "lrp_engine/show/page/style.py": "files of the package itself",
    "lrp_engine/kernels/step_program.py": "text that the engine wrote into its own graph",
    "lrp_engine/method/references.py": "files of the package itself",
    "lrp_engine/explorer/page.py": "files of the package itself",
    "lrp_engine/cli/image_files.py": "pillow, inside `reading()`",
    "lrp_engine/cli/options.py": "JSON of the command line",
}
FORBIDDEN = {
    "open", "load_file", "safe_open", "json.load", "json.loads",
    "tomllib.load", "tomllib.loads", "np.load", "torch.load", "onnx.load_model", "pickle.load",
    "pickle.loads", "csv.reader", "csv.DictReader", "zipfile.ZipFile", "torch.export.load",
    "PT2ArchiveReader",
}  # fmt: skip

METHODS = (".open", ".read_text", ".read_bytes")


def calls(path: Path) -> list[str]:
    """Every call of a loader in a file, as `line: name`."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in FORBIDDEN or name.endswith(METHODS):
                found.append(f"{node.lineno}: {name}")
    return found


def test_no_file_is_opened_or_parsed_outside_the_boundary() -> None:
    left = {}
    for folder in ("lrp_engine", "pytest_lrp"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name.startswith("lrp_engine/boundary/") or name in EXEMPT:
                continue
            # webbrowser.open shows a file; it reads none.
            if found := [call for call in calls(path) if "webbrowser" not in call]:
                left[name] = found
    assert not left
