"""Photo2Cartoon by age and sex: which of several models draws, in Python and on the command line."""
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_weights

from ppgan_apps import Photo2CartoonPredictor, cli
from ppgan_apps.errors import ConfigError, WeightsError
from ppgan_apps.groups import Index
from ppgan_apps.images import read_image, write_image

APPLICATION = Path(__file__).resolve().parents[2] / "applications" / "photo2cartoon.py"
MODELS = {"base": {}, "child": {"age": "00-17"}, "adult": {"age": "18-59"}, "woman": {"age": "18-59", "sex": "female"}}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder as a run by groups leaves it: models of everybody, two age bands of three, and the women of one."""
    import paddle

    from ppgan_apps.networks.photo2cartoon import Photo2CartoonGenerator
    folder = tmp_path_factory.mktemp("models")
    for number, name in enumerate(MODELS):
        paddle.seed(number)
        tiny_weights.write(folder / f"{name}.safetensors", Photo2CartoonGenerator(ngf=4, img_size=32, n_blocks=1))
    named = [{"group": group, "weights": f"{name}.safetensors"} for name, group in MODELS.items()]
    columns = {"age": ["00-17", "18-59", "60+"], "sex": ["female", "male"]}
    Index(columns, {"age": [0, 18, 60]}, named, folder).write("photo2cartoon")
    return folder


@pytest.fixture(scope="module")
def alone(models, portrait):
    """The cartoon that each model draws when its file is given by itself."""
    return {name: Photo2CartoonPredictor(weight_path=models / f"{name}.safetensors").predict(portrait)
            for name in MODELS}


@pytest.mark.parametrize("person, name", [
    ({}, "base"), ({"sex": "female"}, "base"), ({"sex": "male"}, "base"),
    ({"age": 0}, "child"), ({"age": 17}, "child"), ({"age": 17.99}, "child"), ({"age": 17, "sex": "female"}, "child"),
    ({"age": 18}, "adult"), ({"age": np.int64(59)}, "adult"), ({"age": 18, "sex": "male"}, "adult"),
    ({"age": 18, "sex": "female"}, "woman"), ({"age": 59, "sex": " Female"}, "woman"),
    ({"age": 60}, "base"), ({"age": 150, "sex": "female"}, "base"),
])
def test_the_most_specific_model_that_fits_what_is_known(person, name, models):
    assert Photo2CartoonPredictor(weight_path=models, **person).weights.path.stem == name


def test_each_call_may_say_whom_it_draws(models, alone, portrait, tmp_path, capsys):
    assert len({cartoon.tobytes() for cartoon in alone.values()}) == len(MODELS)
    predictor = Photo2CartoonPredictor(tmp_path, models, sex="female")
    assert np.array_equal(predictor.predict(portrait), alone["base"])
    assert np.array_equal(predictor.predict(portrait, age=30), alone["woman"]), "the sex is the constructor's"
    assert np.array_equal(predictor.predict(portrait, age=30, sex="male"), alone["adult"])
    capsys.readouterr()
    [batched] = predictor.predict_batch([portrait], age=30)
    assert np.array_equal(batched, alone["woman"])
    assert np.array_equal(predictor.predict_all(portrait, age=8)[0], alone["child"])
    assert np.array_equal(predictor.run(portrait, age=30, sex="male"), alone["adult"])
    assert np.array_equal(read_image(tmp_path / "p2c_cartoon.png"), alone["adult"])
    assert capsys.readouterr().err.count("weights:") == 1, "only the child's model was not loaded yet"
    assert np.array_equal(predictor.predict(portrait), alone["base"]), "the constructor's again"


@pytest.mark.parametrize("person, part", [
    ({"age": -1}, "age is -1: give a number of years from 0 to 150"), ({"age": 151}, "age is 151"),
    ({"age": float("nan")}, "age is nan"), ({"age": "34"}, "age is '34'"), ({"age": True}, "age is True"),
    ({"sex": "femle"}, "sex is 'femle': the models of .* know female, male"), ({"sex": ""}, "sex is ''"),
])
def test_a_wrong_age_or_sex_is_one_error_at_the_start_and_in_a_call(person, part, models, portrait):
    with pytest.raises(ConfigError, match=part):
        Photo2CartoonPredictor(weight_path=models, **person)
    with pytest.raises(ConfigError, match=part):
        Photo2CartoonPredictor(weight_path=models).predict(portrait, **person)


def test_weights_that_were_not_trained_by_group_take_no_age(tiny, models, portrait):
    for path in (tiny["photo2cartoon"], models / "base.safetensors", None):
        with pytest.raises(ConfigError, match="these weights are not: give the folder of such a run"):
            Photo2CartoonPredictor(weight_path=path, age=30)
    with pytest.raises(ConfigError, match="groups.json"):
        Photo2CartoonPredictor(weight_path=tiny["photo2cartoon"]).predict(portrait, sex="male")


def test_models_by_one_column_refuse_another_and_a_damaged_index_is_named(models, tmp_path):
    Index({"sex": ["female"]}, {}, [{"group": {}, "weights": "gone.safetensors"}], tmp_path).write("photo2cartoon")
    with pytest.raises(ConfigError, match="grouped by sex, not by age: leave age out"):
        Photo2CartoonPredictor(weight_path=tmp_path, age=30)
    with pytest.raises(WeightsError, match="gone.safetensors"):
        Photo2CartoonPredictor(weight_path=tmp_path, sex="female")
    for text in ("{", "{}", '{"columns": {}, "bands": {}, "models": [{}]}', "[]"):
        (tmp_path / "groups.json").write_text(text)
        with pytest.raises(WeightsError, match="groups.json is damaged"):
            Photo2CartoonPredictor(weight_path=tmp_path)


def test_on_the_command_line(models, alone, portrait, tmp_path, capsys):
    write_image(tmp_path / "me.png", portrait)
    options = [str(tmp_path / "me.png"), "-o", str(tmp_path / "out"), "--weight-path", str(models)]
    assert cli.main(["photo2cartoon", *options, "--age", "34", "--sex", "female"]) == 0
    assert "woman.safetensors" in capsys.readouterr().err
    assert np.array_equal(read_image(tmp_path / "out" / "me_cartoon.png"), alone["woman"])
    assert cli.main(["photo2cartoon", *options, "--overwrite", "--age", "34", "--sex", "x"]) == 2
    assert cli.main(["photo2cartoon", *options[:-2], "--overwrite", "--age", "34"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2 and all(line.startswith("error: ") for line in errors)


def test_by_the_application(models, alone, portrait, tmp_path):
    write_image(tmp_path / "me.png", portrait)
    options = ["--input_image", "me.png", "--weight_path", models, "--age", "9"]
    done = subprocess.run([sys.executable, APPLICATION, *options], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "PPGAN_APPS_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    assert np.array_equal(read_image(tmp_path / "output" / "p2c_cartoon.png"), alone["child"])
