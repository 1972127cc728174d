"""The guide: both languages say the same, links lead somewhere, numbers are the YAMLs', and it builds in silence."""
import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ppgan_apps import zoo
from ppgan_apps.config import families
from tests.docs_pages import CHINESE, DOCS, ENGLISH, ROOT, blocks, name_of

# English only: made by tools or from the code, records of what was measured, or a list of pictures.
ENGLISH_ONLY = ["docs/api.md", "docs/settings.md", "docs/cards.md", "docs/benchmarks.md", "docs/images/README.md",
                "docs/training/", "docs/models/", "docs/reliability.md"]
GUIDE = [page for page in ENGLISH if page.is_relative_to(DOCS)]
FAMILY_PAGES = sorted(path for path in (DOCS / "families").glob("*.md") if path.name != "README.md")


def chinese_of(page):
    return DOCS / "cn" / page.relative_to(DOCS)


def translated():
    return [page for page in GUIDE if not name_of(page).startswith(tuple(ENGLISH_ONLY))]


def test_every_guide_page_has_its_chinese_page():
    assert [name_of(page) for page in translated() if not chinese_of(page).exists()] == []
    assert [name_of(page) for page in CHINESE if not (DOCS / page.relative_to(DOCS / "cn")).exists()] == []


@pytest.mark.parametrize("page", translated(), ids=name_of)
def test_the_chinese_page_has_the_same_code_equations_and_pictures(page):
    both = [path.read_text(encoding="utf-8") for path in (page, chinese_of(page))]
    assert code(page) == code(chinese_of(page))
    equations = [re.findall(r"^\$\$(.*?)\$\$$", text, re.M | re.S) for text in both]
    assert equations[0] == equations[1]
    pictures = [[Path(name).name for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)] for text in both]
    assert pictures[0] == pictures[1]
    assert len(re.findall(r"[\u4e00-\u9fff]", both[1])) > 40


def code(page):
    """The blocks of a page without their comments: commands in words, Python as a tree, YAML as values."""
    readers = {"bash": lambda block: block.commands(), "python": lambda block: ast.dump(ast.parse(block.text)),
               "yaml": lambda block: yaml.safe_load(block.text)}
    return [(block.kind, readers[block.kind](block)) for block in blocks(page)]


@pytest.mark.parametrize("page", [*GUIDE, *CHINESE], ids=name_of)
def test_links_lead_to_files_and_headings(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{name_of(page)} links to {target}"
        assert not anchor or anchor in anchors(path), f"{name_of(page)} links to {target}"


def anchors(page):
    """The headings as GitHub and MyST name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


# Families

def test_every_family_has_a_page():
    assert [path.stem for path in FAMILY_PAGES] == families() and len(FAMILY_PAGES) == 17


@pytest.mark.parametrize("page", FAMILY_PAGES, ids=lambda path: path.stem)
def test_family_pages_say_what_the_yaml_says(page):
    """The block of numbers is part of the YAML that it names, which is of this family."""
    block = next(block for block in blocks(page) if block.kind == "yaml")
    path = ROOT / re.match(r"# (configs/\w+\.yaml)\n", block.text)[1]
    said, stated = yaml.safe_load(block.text), yaml.safe_load(path.read_text(encoding="utf-8"))
    assert stated["family"] == page.stem
    for section, values in said.items():
        assert values == {key: stated[section].get(key) for key in values}
    assert path.name in " ".join(word for other in blocks(page) if other.kind == "bash"
                                 for words in other.commands() for word in words) or "light" in page.read_text()


@pytest.mark.parametrize("page", FAMILY_PAGES, ids=lambda path: path.stem)
def test_family_pages_have_equation_numbers_and_show_the_recorded_run(page):
    text = page.read_text(encoding="utf-8")
    assert "$$" in text and re.search(r"[Ee]q\. \d|appendix|no\s+paper", text)
    recorded = [run.stem for run in (DOCS / "training").glob("*_*.md")
                if yaml.safe_load(yaml_of(run).read_text(encoding="utf-8"))["family"] == page.stem]
    for run in recorded:
        assert f"../training/{run}.md" in text and f"../training/{run}_last.png" in text
    assert recorded


def test_the_table_of_recorded_runs_says_what_their_pages_say():
    rows = re.findall(r"^\| \[(\w+)\]\(\w+\.md\) \| ([\d,]+) x (\d+) \| ([\d.]+) \| ([\d.]+) \|",
                      (DOCS / "training" / "README.md").read_text(encoding="utf-8"), re.M)
    assert sorted(row[0] for row in rows) == sorted(path.stem for path in (DOCS / "training").glob("*_*.md"))
    for name, steps, pictures, untrained, end in rows:
        page = (DOCS / "training" / f"{name}.md").read_text(encoding="utf-8")
        assert f"{steps} steps of {pictures} pictures" in page
        measured = re.search(r"from ([\d.]+) untrained to ([\d.]+) at the end", page).groups()
        for rounded, exact in zip((untrained, end), measured, strict=True):
            last_digit = 10.0 ** -len(rounded.partition(".")[2])
            assert float(rounded) == pytest.approx(float(exact), abs=0.51 * last_digit), name


@pytest.mark.parametrize("page", ["weights.md", "cn/weights.md"])
def test_every_embedded_record_is_listed_with_its_card(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    for file in zoo.EMBEDDED_SUMS:
        assert f"/pretrained/{Path(file).stem}.md)" in text, file
        assert f"(card-{Path(file).stem})=" in (DOCS / "cards.md").read_text(encoding="utf-8"), file


def yaml_of(run):
    """The YAML in the command of a recorded run's page."""
    return ROOT / re.search(r"--config-file (configs/\w+\.yaml)", run.read_text(encoding="utf-8"))[1]


@pytest.mark.parametrize("page", FAMILY_PAGES, ids=lambda path: path.stem)
def test_functions_that_family_pages_name_exist(page):
    from ppgan_apps import losses, perceptual
    modules = {"losses": losses, "perceptual": perceptual}
    for module, name in re.findall(r"`(losses|perceptual)\.(\w+\*?)`", page.read_text(encoding="utf-8")):
        assert any(known.startswith(name.rstrip("*")) for known in dir(modules[module])), name


# Pictures

def test_every_picture_is_shown_and_made_by_a_script():
    """Those that docs/images/README.md does not explain by name come from the two scripts that it names."""
    explained = (DOCS / "images" / "README.md").read_text(encoding="utf-8")
    made = {path.stem for path in (DOCS / "images").glob("*.png") if f"`{path.name}`" not in explained}
    sources = "".join((ROOT / "tools" / f"{name}.py").read_text() for name in ("readme_pictures", "stylegan2_pictures"))
    assert made == {name for name in made if f'"{name}"' in sources}
    pages = "".join(page.read_text(encoding="utf-8") for page in ENGLISH)
    assert {name for name in made if f"images/{name}.png" not in pages} == set()


def test_the_script_makes_the_pictures_of_the_readme_again(tmp_path):
    """The avatars, which need no photograph, come out as they stand in the guide, to a level of rounding."""
    import numpy as np

    from ppgan_apps import images
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "readme_pictures.py"), "--photos", str(tmp_path),
                           "--only", "avatars", "--output", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    new, old = (images.read_image(folder / "avatars.png").astype(int) for folder in (tmp_path, DOCS / "images"))
    assert new.shape == old.shape and np.abs(new - old).max() <= 2


# Building

@pytest.mark.slow
def test_the_guide_builds_without_a_warning(tmp_path):
    if sys.version_info < (3, 11):
        pytest.skip("the Sphinx whose docutils draws equations needs Python 3.11")
    missing = [name for name in ("sphinx", "myst_parser", "furo") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs the extra `docs` ({', '.join(missing)} not installed)")
    done = subprocess.run([sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(DOCS),
                           str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "families" / "wgan_gp.html").read_text(encoding="utf-8")
    assert "<math" in page and "zh-CN" in (tmp_path / "cn" / "index.html").read_text(encoding="utf-8")
    loaded = [found for path in tmp_path.rglob("*.html")
              for found in re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"https?://[^\"]+",
                                      path.read_text(encoding="utf-8"))]
    assert loaded == []                                        # a built page asks nobody for anything
    reference = (tmp_path / "api.html").read_text(encoding="utf-8")
    for name in ("ppgan_apps.predictors.photo2cartoon.Photo2CartoonPredictor", "ppgan_apps.losses.r1_penalty"):
        assert f'id="{name}"' in reference
    settings = (tmp_path / "settings.html").read_text(encoding="utf-8")
    assert "instance_noise" in settings


def test_the_table_of_settings_has_every_setting_with_its_meaning(monkeypatch):
    """Docutils is needed by the directive alone, so the reading of a dataclass is tested by itself."""
    pytest.importorskip("docutils", reason="needs the extra `docs`")
    import dataclasses

    from ppgan_apps.config import RunConfig
    from ppgan_apps.recipes.dcgan import Config, Networks
    monkeypatch.syspath_prepend(str(DOCS / "extensions"))
    from settings_table import settings_of
    rows = settings_of(RunConfig)
    assert list(rows) == [field.name for field in dataclasses.fields(RunConfig)] and all(rows[key][1] for key in rows)
    assert settings_of(Config)["lr"] == ("0.0002", "Adam, both networks")
    assert settings_of(Networks)["latent"][1].startswith("z is drawn from N(0, 1)")
