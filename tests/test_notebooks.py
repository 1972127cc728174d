"""notebooks/: stored clean and in both languages, and executed from the first cell to the last, offline, on a CPU."""
import importlib.util
import json
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LEAST_PLOTS = {"photo2cartoon": 5, "dcgan_avatars": 4, "anime2real_training": 5, "stylegan2_playground": 8}


def cells(path, kind):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def source(cell):
    return "".join(cell["source"])


def test_the_four_notebooks_are_there():
    assert {path.stem for path in NOTEBOOKS} == set(LEAST_PLOTS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_clean_and_small(path):
    assert path.stat().st_size < 50_000
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells(path, "code"))
    assert not re.search(r"/(home|root|opt|work|Users|mnt|tmp)/", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_speak_both_languages(path):
    """Every heading that says something is Chinese and English; every cell of text has both."""
    for cell in cells(path, "markdown"):
        text = source(cell)
        assert re.search(r"[\u4e00-\u9fff]", text) and re.search(r"[A-Za-z]{4}", text), text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_compile_and_commands_name_files_that_exist(path):
    for cell in cells(path, "code"):
        compile(source(cell), path.name, "exec")
    text = "".join(map(source, cells(path, "markdown") + cells(path, "code")))
    assert [name for name in re.findall(r"\b(?:configs|tools|docs)/[\w/]+\.\w+", text) if not (ROOT / name).exists()] \
        == []


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(path, tmp_path, monkeypatch):
    missing = [name for name in ("nbclient", "ipykernel", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs the extra `test` ({', '.join(missing)} not installed)")
    import nbformat
    from nbclient import NotebookClient
    for name in ("configs", "docs", "ppgan_apps"):             # a clone without data/ and without ../shared
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setenv("PPGAN_APPS_OFFLINE", "1")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=1200, kernel_name="python3",
                   resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= LEAST_PLOTS[path.stem]
    warned = [output["text"] for output in outputs if output.get("name") == "stderr" and "Glyph" in output["text"]]
    assert warned == []                                        # a plot has no sign that its font lacks
    if os.environ.get("NOTEBOOK_PLOTS"):                       # a folder, to look at what readers see
        write_plots(Path(os.environ["NOTEBOOK_PLOTS"]), path.stem, outputs)


def write_plots(folder, name, outputs):
    import base64
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    for number, picture in enumerate(pictures):
        (folder / f"{name}_{number:02d}.png").write_bytes(base64.b64decode(picture))
