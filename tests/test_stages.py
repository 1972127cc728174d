"""Training by group through the real command: the plan, killed and resumed, whose weights each model begins with."""
import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ppgan_apps import Photo2CartoonPredictor, checkpoints, config, data, groups, images, stages, trainer
from ppgan_apps.errors import ConfigError, DataError, OutputError, WeightsError
from ppgan_apps.weights import read_weights, resolve

ROOT = Path(__file__).parent.parent
YAML = ROOT / "configs" / "photo2cartoon_groups.yaml"
TINY = ("data.size=32 data.load_size=34 recipe.ngf=4 recipe.ndf=4 recipe.global_layers=4 recipe.local_layers=3 "
        "recipe.n_blocks=1 recipe.face_id_weight=0 steps=2 grouping.steps=[2,1] grouping.bands={age:[0,30]} "
        "grouping.least=2 log_every=1 checkpoint_every=1 preview_every=0")
PEOPLE = [("a/0", 20, "female"), ("a/1", 29.5, "male"), ("b/2", 30, "female"), ("b/3", 41, " Female"),
          ("b/4", 77, "male"), ("b/5", "", "male"), ("b/6", 50, "")]
OLD, YOUNG = "age_30+", "age_00-29"
STAGES = [".", YOUNG, OLD, f"{OLD}_sex_female"]                # of the other groups there is one person each: too few
FIRST = "DownBlock.1.weight"                                   # of the delivered network


def write_table(path, rows, columns=("file", "age", "sex")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


@pytest.fixture
def people(tmp_path):
    return make_people(tmp_path / "people")


@pytest.fixture(scope="module")
def all_people(tmp_path_factory):
    return make_people(tmp_path_factory.mktemp("people"))


def make_people(root):
    """Eight photos in two folders, seven of them in the table, and three cartoons."""
    random = np.random.default_rng(5)
    for name in [*(name for name, *_ in PEOPLE), "b/7"]:
        images.write_image(root / "photos" / f"{name}.png", random.integers(0, 256, (40, 40, 3), np.uint8))
    for name in "xyz":
        images.write_image(root / "cartoons" / f"{name}.png", random.integers(0, 256, (40, 40, 3), np.uint8))
    write_table(root / "photos" / "attributes.csv", [(f"{name}.png", *more) for name, *more in PEOPLE])
    return root


def settings(people, output, *more):
    return [*TINY.split(), f"data.path_a={people / 'photos'}", f"data.path_b={people / 'cartoons'}",
            f"output={output}", *more]


def run_of(people, output, *more):
    return config.load_run(YAML, settings(people, output, *more))


def command(people, output, *more):
    return [sys.executable, str(ROOT / "tools" / "main.py"), "--config-file", str(YAML), *more,
            "-o", *settings(people, output)]


def weights_of(folder):
    return read_weights(resolve(folder))


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


@pytest.fixture(scope="module")
def whole(all_people, tmp_path_factory):
    """The folder of an unbroken run of all stages."""
    output = tmp_path_factory.mktemp("whole") / "run"
    assert trainer.train(run_of(all_people, output)) == output
    return output


def wait_for(condition, process, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended too early"
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def test_one_command_stopped_in_the_base_and_killed_in_a_child_ends_as_an_unbroken_run(all_people, whole, tmp_path):
    output = tmp_path / "run"
    for number, stage in ((signal.SIGTERM, output), (signal.SIGKILL, output / OLD)):
        process = subprocess.Popen(command(all_people, output, "--resume", "auto"), stderr=subprocess.PIPE, text=True,
                                   stdout=subprocess.DEVNULL)
        wait_for(lambda: checkpoints.checkpoints(stage), process)               # noqa: B023
        process.send_signal(number)
        process.communicate(timeout=120)
        if number == signal.SIGTERM:
            assert process.returncode == 0 and not (output / YOUNG).exists()
    finished = json.loads((output / "groups.json").read_text())["models"]
    assert [model["group"] for model in finished[:2]] == [{}, {"age": "00-29"}] and len(finished) < 4
    done = subprocess.run(command(all_people, output, "--resume", "auto"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(output) and "age_00-29_sex_male gets no model of its own" in done.stderr
    for stage in STAGES:
        last, expected = (checkpoints.checkpoints(folder / stage)[-1] for folder in (output, whole))
        assert last.name == expected.name
        names = sorted(path.name for path in last.glob("*.safetensors"))
        assert len(names) == 8 and names == sorted(path.name for path in expected.glob("*.safetensors"))
        for name in names:
            assert_equal(read_weights(last / name), read_weights(expected / name))
    assert (output / "groups.json").read_text() == (whole / "groups.json").read_text()


def test_a_finished_run_is_left_alone_and_says_so_in_a_dry_run(all_people, whole, capsys):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*.safetensors")}
    assert trainer.main([*command(all_people, whole)[2:4], "--resume", "auto", "-o", *settings(all_people, whole)]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in whole.rglob("*.safetensors")}
    capsys.readouterr()
    assert trainer.main([*command(all_people, whole)[2:4], "--dry-run", "-o", *settings(all_people, whole)]) == 0
    shown = capsys.readouterr().out
    assert "# 4 stages:" in shown and shown.count("finished") == 4
    assert "4 pictures of path_a and 3 pictures of path_b, 2 steps, from base, finished" in shown
    assert "1 pictures of path_a and 3 pictures of path_b: fewer than 2, no model; age_00-29 is used" in shown


def test_a_dry_run_of_a_new_one_writes_nothing(people, tmp_path, capsys):
    assert trainer.main([*command(people, "")[2:4], "--dry-run", "-o", *settings(people, tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert shown.count("to train") == 4 and "2 steps, the beginning" in shown and not (tmp_path / "out").exists()


def test_the_index_names_every_model_and_each_was_trained(whole):
    index = json.loads((whole / "groups.json").read_text())
    assert index["bands"] == {"age": [0, 30]}
    assert index["columns"] == {"age": ["00-29", "30+"], "sex": ["female", "male"]}
    assert [model["group"] for model in index["models"]] == [
        {}, {"age": "00-29"}, {"age": "30+"}, {"age": "30+", "sex": "female"}]
    assert [model["pictures"]["path_a"] for model in index["models"]] == [8, 2, 4, 2]
    assert [model["steps"] for model in index["models"]] == [2, 2, 2, 1]
    states = [read_weights(whole / model["weights"]) for model in index["models"]]
    assert len({state[FIRST].tobytes() for state in states}) == 4


def test_a_plain_run_becomes_the_base_and_children_begin_with_their_parents_weights(people, tmp_path):
    output = tmp_path / "run"
    trainer.train(run_of(people, output, "groups=[]", "steps=1"))
    assert not (output / "groups.json").exists()
    base = weights_of(output)
    trainer.train(run_of(people, output, "steps=1", "recipe.lr=0", "groups=[sex]", "grouping.steps=[2]"), "auto")
    for child in ("sex_female", "sex_male"):
        assert_equal(weights_of(output / child), base)
        log = [json.loads(line) for line in (output / child / "log.jsonl").read_text().splitlines()]
        assert [line["step"] for line in log] == [1, 2]
        optimizer = read_weights(checkpoints.checkpoints(output / child)[-1] / "opt_G.optimizer.safetensors")
        power = next(value for key, value in optimizer.items() if "beta1_pow" in key)
        assert float(power.ravel()[0]) == pytest.approx(0.5 ** 3), "the optimizer has made two steps, not three"
    trainer.train(run_of(people, tmp_path / "fresh", "groups=[]", "steps=1", "recipe.lr=0"))
    assert not np.array_equal(base[FIRST], weights_of(tmp_path / "fresh")[FIRST])


def test_a_stage_is_a_run_of_its_own(people, tmp_path, whole):
    again = config.load_run(checkpoints.checkpoints(whole / OLD)[-1] / "config.yaml")
    assert again.only == {"age": "30+"} and again.groups == () and again.start.endswith("step_00000002")
    again.output, again.data.path_a, again.data.path_b = str(tmp_path), *(str(people / name) for name in
                                                                          ("photos", "cartoons"))
    assert_equal(weights_of(trainer.train(again)), weights_of(whole / OLD))


def test_a_new_run_over_an_old_one_other_steps_and_a_checkpoint_to_resume_are_refused(all_people, whole):
    with pytest.raises(OutputError, match="already holds a run"):
        trainer.train(run_of(all_people, whole))
    with pytest.raises(OutputError, match="age_00-29 was trained from step_00000002 of base, which now has .* 4 steps"):
        trainer.train(run_of(all_people, whole, "steps=4"), "auto")
    with pytest.raises(ConfigError, match="--resume auto"):
        trainer.train(run_of(all_people, whole), str(whole))


# Which pictures a group has

def kept(people, only, *more):
    run = run_of(people, people / "out", "groups=[]", f"only={json.dumps(only)}", *more)
    dataset = groups.restrict(run.data.open(), run)
    return [file.stem for file in dataset.files_a], [file.stem for file in dataset.files_b]


def test_a_group_has_the_pictures_that_the_table_says(people):
    assert kept(people, {"age": "00-29"}) == (["0", "1"], ["x", "y", "z"])
    assert kept(people, {"age": "30+"})[0] == ["2", "3", "4", "6"]
    assert kept(people, {"sex": "male"})[0] == ["1", "4", "5"]
    assert kept(people, {"age": "30+", "sex": "female"})[0] == ["2", "3"]
    with pytest.raises(DataError, match="no picture of the group age 60-64"):
        kept(people, {"age": "60-64"})


def test_the_cartoons_are_divided_by_the_columns_that_their_own_table_has(people):
    sexes = [("x.png", "female"), ("y.png", "male"), ("z.png", "male")]
    write_table(people / "cartoons" / "attributes.csv", sexes, ("file", "sex"))
    assert kept(people, {"age": "00-29", "sex": "male"}) == (["1"], ["y", "z"])
    assert kept(people, {"age": "00-29"})[1] == ["x", "y", "z"]
    plan = stages.plan(run_of(people, people / "out"))
    assert [stage.name for stage in plan.stages] == ["base", YOUNG, OLD], "one cartoon of a woman"


def test_a_table_elsewhere_and_a_linked_folder_name_the_same_pictures(people):
    table = people / "table.csv"
    write_table(table, [(f"photos/{name}.png", *more) for name, *more in PEOPLE])
    (people / "photos" / "attributes.csv").unlink()
    (people / "linked").symlink_to(people / "photos")
    tables = f"grouping.tables={{path_a: {table}}}"
    assert kept(people, {"age": "00-29"}, tables)[0] == ["0", "1"]
    assert kept(people, {"age": "00-29"}, tables, f"data.path_a={people / 'linked'}")[0] == ["0", "1"]


def test_any_column_and_any_order(people):
    rows = [(f"{name}.png", number % 2, "Åland/.. Islands") for number, (name, *_) in enumerate(PEOPLE)]
    write_table(people / "photos" / "attributes.csv", rows, ("file", "glasses", "country"))
    plan = stages.plan(run_of(people, people / "out", "groups=[country, glasses]", "grouping.steps=[]"))
    assert [stage.name for stage in plan.stages] == ["base", "country_åland%2f%2e%2e%20islands", *(
        f"country_åland%2f%2e%2e%20islands_glasses_{glasses}" for glasses in (0, 1))]
    assert [stage.run.steps for stage in plan.stages] == [2] * 4
    assert plan.stages[3].parent is plan.stages[1] and plan.stages[3].pictures == {"path_a": 3, "path_b": 3}


@pytest.mark.parametrize("limits, labels", [((0, 18, 40, 60), ["00-17", "18-39", "40-59", "60+"]), ((5,), ["5+"]),
                                            ((0, 9, 100), ["000-008", "009-099", "100+"])])
def test_bands_have_names_that_sort_by_number(limits, labels):
    assert groups.band_labels(limits) == labels == sorted(labels)
    for number in range(limits[0], limits[-1] + 3):
        low, _, high = groups.label_of(number, limits).partition("-")
        assert int(low.rstrip("+")) <= number <= (int(high) if high else number)
    assert groups.label_of(limits[0] - 0.5, limits) == "" == groups.label_of(" ", limits)


# What a user can get wrong

def break_table(people, text):
    (people / "photos" / "attributes.csv").write_text(text)


@pytest.mark.parametrize("text, part", [
    (None, "has no attributes.csv or attributes.jsonl to take groups from"),
    ("file,age\na/0.png,3\n", "has no column 'sex' (it has: file, age)"),
    ("name,age,sex\na/0.png,3,male\n", "is not a table with a column 'file'"),
    ("file,age,sex\na/0.png,old,male\n", "gives a/0.png the age 'old', which is no number"),
    ("file,age,sex\na/0.png,3,male\nc/7.png,3,male\nc/8.png,3,male\n", "lists 2 file(s) that do not exist"),
])
def test_a_table_that_does_not_do_is_one_sentence(text, part, people, tmp_path, capsys):
    if text is None:
        (people / "photos" / "attributes.csv").unlink()
    else:
        break_table(people, text)
    assert trainer.main([*command(people, "")[2:4], "-o", *settings(people, tmp_path / "out")]) == 2
    errors = capsys.readouterr().err.strip()
    assert errors.startswith("error: ") and part in errors and "\n" not in errors
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change, part", [
    ("groups=age", "groups: is 'age', should be a list"),
    ("groups=[age, age]", "name each column once"),
    ("grouping.steps=[1, 2, 3]", "3 numbers for 2 level(s)"),
    ("grouping.steps=[0]", "should be 1 or more"),
    ("grouping.bands.age=[18, 0]", "bands of age are [18, 0]"),
    ("grouping.bands.age=18", "grouping.bands: is {'age': 18}, should be a section"),
    ("only={sex: male}", "is one group, and 'groups' asks for several"),
    ("grouping.tables={path: x.csv}", "grouping.tables names path: use path_a or path_b"),
    ("grouping.tables={path_a: nowhere.csv}", "There is no table nowhere.csv"),
    ("start=nowhere", "nowhere is no checkpoint"),
])
def test_settings_that_do_not_do_are_named(change, part, people, tmp_path):
    with pytest.raises((ConfigError, DataError, WeightsError)) as caught:
        trainer.train(run_of(people, tmp_path / "out", change))
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_data_that_cannot_be_divided_is_refused(people):
    pictures = data.LabelledImages(str(people / "photos")).open()
    with pytest.raises(ConfigError, match="LabelledImages cannot be divided"):
        groups.labels_of_files(pictures, groups.Grouping(), ["age"])


# The models in use

def test_the_predictor_takes_the_model_of_the_group_that_was_trained(whole):
    def used(**person):
        return Photo2CartoonPredictor(weight_path=whole, **person).weights.path
    assert used() == resolve(whole) == used(sex="male")
    assert used(age=29, sex="Female") == resolve(whole / YOUNG)
    assert used(age=30, sex="MALE") == resolve(whole / OLD)
    assert used(age=30.0, sex="Female") == resolve(whole / f"{OLD}_sex_female")
