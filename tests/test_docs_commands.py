"""Every command of the READMEs and the guide: accepted by its own parser, and run wherever a small machine can."""
import json
import re
import shlex
import shutil

import numpy as np
import pytest

from ppgan_apps import config, faces, images
from ppgan_apps.errors import ConfigError
from tests import docs_pages
from tests.docs_pages import DOCS, ENGLISH, ROOT, Block, blocks, is_ours, name_of, script_of
from tests.test_packaging import extras
from tests.test_training import SMALL, write_mnist

# Commands that are only parsed here, and why.
ONLY_PARSED = {
    r"-m venv|^pip install|\.venv/bin/": "installs from the network: .ci/run runs the README's own line",
    r"paddle\.distributed\.launch": "several GPUs or processes: tests/test_processes.py starts them",
    r"zoo import|face\.safetensors": "needs another project's file: tests/foreign has small ones",
    r"ppgan-apps batch": "starts Ray: tests/test_batch.py does",
    r"--features inception": "needs Inception's weights: tests/metrics",
    r"photo2cartoon_groups": "needs a run by groups: tests/test_stages.py trains one",
    r"cyclegan_horse2zebra": "needs the paper's pictures; its family's other YAML runs",
    r"--start 1:05": "needs a clip of more than a minute; the guide's short one runs",
    r"tools/embed\.py": "writes into the package",
    r"tools/label_faces\.py": "needs MediaPipe in an environment of its own: write_labels stands for it",
    r"tools/record_run\.py": "writes into docs/training: tests/tools/test_record_run.py runs it",
    r"ppgan-apps serve|^curl ": "starts a server: tests/web does, with a browser",
    r"^export ": "sets a variable: tests/test_adding_a_family.py runs that page",
    r"ragan\.yaml": "tests/test_adding_a_family.py runs that page",
}
# Pages that hold only long trainings, whose result stands on the page.
RECORDED = re.compile(r"docs/training/\w+_\w+\.md")
# What is added to a command so that it ends soon; all of these are documented options.
SMALLER = {r"styleganv2 project": "--steps 2 --samples 4", r"styleganv2 walk": "--frames 4",
           r"styleganv2 (sweep|edit|sample|mix)": "--overwrite", r"tools/eval\.py": "--count 6"}
# Runs that a page takes as given.
GIVEN = {"docs/metrics.md": ["stylegan2_avatars", "pix2pix_anime2real", "dcgan_avatars"],
         "docs/stylegan2.md": ["dcgan_avatars"], "docs/predictors/more.md": ["dcgan_avatars"]}
QUICK = "docs/tour.md"                       # runs among the fast tests; the other pages take a minute each
# Python blocks that need what no test has: only compiled.
ONLY_COMPILED = {"docs/importing_weights.md": "needs published weights", "docs/adding_a_family.md": "its own test"}


def why_only_parsed(page, words):
    line = shlex.join(words)
    if RECORDED.fullmatch(name_of(page)):
        return "a training of minutes, recorded on the page"
    return next((reason for pattern, reason in ONLY_PARSED.items() if re.search(pattern, line)), None)


def all_commands():
    return [(page, words) for page in ENGLISH for block in blocks(page) if block.kind == "bash"
            for words in block.commands()]


@pytest.mark.parametrize("page", [page for page in ENGLISH if any(block.kind == "bash" for block in blocks(page))],
                         ids=name_of)
def test_commands_are_accepted(page, monkeypatch):
    """Each command by its own parser; of a training also the YAML with the overrides that are given."""
    for words in (words for block in blocks(page) if block.kind == "bash" for words in block.commands()):
        if not is_ours(words):
            check_foreign(words)
            continue
        place = script_of(words)
        if place is not None and words[-1] == "...":           # stands for the YAML named a line above
            words = [*words[:-1], "configs/gan_mnist.yaml"]
        given = docs_pages.parse(words, monkeypatch)
        written_by_the_reader = "ragan.yaml" in words
        if getattr(given, "config_file", None) and not written_by_the_reader:
            monkeypatch.chdir(ROOT)
            config.load_run(given.config_file, given.override)


def check_foreign(words):
    """Commands of others: pip's name extras that there are, curl an address of our API; nothing else is expected."""
    assert words[0] in ("pip", "python3", ".venv/bin/pip", ".venv/bin/pytest", "export", "curl"), words
    for path in re.findall(r"http://127\.0\.0\.1:8000/api/v1(/\S+)", " ".join(words)):
        assert f'"{path}"' in (ROOT / "ppgan_apps" / "web" / "api.py").read_text(encoding="utf-8")
    named = re.findall(r"\.\[([\w,]+)\]", " ".join(words))
    assert {extra for group in named for extra in group.split(",")} <= set(extras()), words


def test_every_reason_is_used():
    """No entry of ONLY_PARSED or SMALLER outlives the command that it was for."""
    lines = [shlex.join(words) for _, words in all_commands()]
    unused = [pattern for pattern in [*ONLY_PARSED, *SMALLER] if not any(re.search(pattern, line) for line in lines)]
    assert unused == []


def test_most_commands_run():
    """What is only parsed stays the exception."""
    outside = [(page, words) for page, words in all_commands() if not RECORDED.fullmatch(name_of(page))]
    parsed = [words for page, words in outside if why_only_parsed(page, words)]
    assert len(parsed) < 0.4 * len(outside)


def test_a_wrong_option_would_be_noticed(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        docs_pages.parse(shlex.split("ppgan-apps photo2cartoon photo.jpg --no-such-option"), monkeypatch)
    with pytest.raises(SystemExit):
        docs_pages.parse(shlex.split("python tools/prepare.py faces photos --no-such-option"), monkeypatch)
    with pytest.raises(ConfigError):
        config.load_run(ROOT / "configs" / "gan_mnist.yaml", ["recipe.no_such_key=1"])
    capsys.readouterr()


# ------------------------------------------------------------------------------------------------------- real runs
@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """The files that the pages name, small: faces and avatars cut out of the guide's own pictures."""
    folder = tmp_path_factory.mktemp("reader")
    sheet = images.read_image(DOCS / "images" / "photo2cartoon.png")      # six photographs above, their cartoons below
    cell = sheet.shape[0] // 2
    people = [sheet[2:cell - 2, column * sheet.shape[1] // 6:][:, 2:cell - 2] for column in range(6)]
    drawn = [sheet[cell + 2:-2, column * sheet.shape[1] // 6:][:, 2:cell - 2] for column in range(6)]

    def write(name, picture):
        images.write_image(folder / name, np.ascontiguousarray(picture))
    write("photo.jpg", people[1])
    write("portrait.jpg", people[0])
    write("group.jpg", np.hstack(people[:2]))
    write("face.png", drawn[1])
    for index in range(2):
        write(f"photos/{index}.jpg", people[index])
        write(f"more/other{index}.jpg", people[index + 2][:96])
        write(f"drawings/{index}.png", drawn[index])
        write(f"data/portraits/{index}.jpg", people[index])
        write(f"data/photos/{index}.jpg", people[index])
        write(f"data/held_out/{index}.png", np.hstack([people[index], drawn[index]]))
        for name in ("photo2cartoon/trainB", "selfie2anime/trainA", "selfie2anime/trainB"):
            write(f"data/{name}/{index}.png", images.resize(drawn[index], (48, 48)))
    write_labels(folder / "labels" / "portraits", people[:2])
    avatars = images.read_image(DOCS / "images" / "avatars.png")
    for index in range(8):
        avatar = images.resize(avatars[2:130, index * avatars.shape[1] // 8:][:, 2:130], (64, 64))
        for name in ("data/avatars", "my/avatars", "pictures", "output/samples"):
            write(f"{name}/{index}.png", avatar)
    rows = [{"file": f"{index}.png", "hair": ("long", "short")[index % 2]} for index in range(8)]
    (folder / "data/avatars/attributes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_mnist(folder / "data/mnist", np.random.default_rng(1).integers(0, 256, (6, 28, 28)), [0, 1, 2, 0, 1, 2])
    clip = images.resize(people[1], (160, 160))
    try:
        from tests.clips import write as write_clip
        write_clip(folder / "clip.mp4", frames=8, rate=10, size=(160, 160), picture=lambda number, size: clip)
    except ModuleNotFoundError:
        pass                                                              # without PyAV its commands skip
    return folder


def write_labels(folder, portraits):
    """What tools/label_faces.py writes in an environment of its own, here as the package's own models see it."""
    folder.mkdir(parents=True)
    for index, portrait in enumerate(np.ascontiguousarray(portrait) for portrait in portraits):
        face = faces.detect(portrait)[0]
        np.savez_compressed(folder / f"{index}.npz", found=True, landmarks=face.landmarks,
                            mask=faces.segment(portrait, face.landmarks).astype(np.float16))


@pytest.fixture
def reader(pictures, tmp_path, monkeypatch):
    """A folder as a clone beside these pictures is to its reader; the process works in it."""
    folder = shutil.copytree(pictures, tmp_path / "reader")
    for name in ("configs", "tools", "applications", "hubconf.py"):
        (folder / name).symlink_to(ROOT / name)
    monkeypatch.chdir(folder)
    return folder


def smaller(words):
    """The command with what makes it end soon."""
    line = shlex.join(words)
    more = [word for pattern, added in SMALLER.items() if re.search(pattern, line) for word in shlex.split(added)]
    place = script_of(words)
    if place is not None and words[place] == "tools/main.py" and "steps=" not in line:
        name = re.search(r"configs/(\w+)\.yaml", line)[1]
        family = config.load_run(ROOT / "configs" / f"{name}.yaml").family
        more += ["-o", *SMALL.get(name, SMALL[family]).split(), "steps=2", "log_every=1", "preview_every=0",
                 "checkpoint_every=1"]
    return [*words, *more]


def run_page(page, reader, names):
    """Runs every block of a page in its order, and returns the commands that were run."""
    done = []
    for name in GIVEN.get(name_of(page), ()):
        if name == "pix2pix_anime2real":
            assert docs_pages.run(shlex.split("python tools/prepare.py pairs data/portraits "
                                              "-o data/portraits_cartoon/train")) == 0
        assert docs_pages.run(smaller(["python", "tools/main.py", "--config-file", f"configs/{name}.yaml"])) == 0
    for block in blocks(page):
        if block.kind == "python" and name_of(page) not in ONLY_COMPILED:
            exec(compile(block.text, name_of(page), "exec"), names)
        for words in block.commands() if block.kind == "bash" else ():
            if why_only_parsed(page, words) or ("clip.mp4" in words and not (reader / "clip.mp4").exists()):
                continue
            assert docs_pages.run(smaller(words)) == 0, f"{name_of(page)}: {shlex.join(words)}"
            done.append(shlex.join(words))
    return done


def names_of_python_blocks(reader):
    """What the Python blocks take as given: two pictures."""
    return {"photo": images.read_image(reader / "photo.jpg"), "drawing": images.read_image(reader / "face.png")}


def test_the_tour_runs(reader):
    done = run_page(ROOT / QUICK, reader, names_of_python_blocks(reader))
    assert len(done) == 8 or not (reader / "clip.mp4").exists()
    assert images.read_image(reader / "output" / "photo_cartoon.png").shape == (256, 256, 3)
    assert images.read_image(reader / "output" / "p2c_cartoon.png").shape == (256, 256, 3)      # of the Python block
    assert (reader / "output" / "stylegan2_avatars" / "previews" / "step_00000003.png").exists()
    assert images.read_image(reader / "output" / "grid.png").shape[2] == 3


SLOW = [page for page in ENGLISH if name_of(page) not in (QUICK, "docs/adding_a_family.md")
        and any(not why_only_parsed(page, words) for block in blocks(page) if block.kind == "bash"
                for words in block.commands())]


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW, ids=name_of)
def test_the_page_runs(page, reader):
    assert run_page(page, reader, names_of_python_blocks(reader))


@pytest.mark.parametrize("page", ENGLISH, ids=name_of)
def test_python_blocks_compile(page):
    for block in blocks(page):
        if block.kind == "python":
            compile(block.text, name_of(page), "exec")


def test_blocks_are_read_as_a_reader_does():
    block = Block("bash", "ppgan-apps a \\\n    --b 1   # why\n\npip install . && c \"d e\"\n")
    assert block.commands() == [["ppgan-apps", "a", "--b", "1"], ["pip", "install", "."], ["c", "d e"]]
