"""The YAML reader: types, defaults, overrides, and one error that lists every fault."""
from pathlib import Path

import pytest

from ppgan_apps import config
from ppgan_apps.errors import ConfigError

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))
MINIMAL = "family: pix2pix\nsteps: 5\nbatch_size: 2\ndata:\n  path: pictures\n"


def write(folder, text):
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_yaml_of_the_suite_is_valid_and_says_how_it_is_run(path):
    run = config.load_run(path)
    assert run.family in config.families()
    first_line = path.read_text(encoding="utf-8").splitlines()[0]
    assert first_line == f"# python tools/main.py --config-file configs/{path.name}"
    assert config.parse_run(run.to_dict()) == run


def test_defaults_and_output_follow_from_the_file(tmp_path):
    run = config.load_run(write(tmp_path, MINIMAL))
    assert (run.recipe.lr, run.recipe.l1_weight, run.data.load_size, run.output) == (2e-4, 100.0, 286, "output/run")


def test_overrides_reach_into_sections_and_read_exponents(tmp_path):
    run = config.load_run(write(tmp_path, MINIMAL), ["recipe.lr=1e-4", "data.size=128", "steps=1e3", "data.flip=false"])
    assert (run.recipe.lr, run.data.size, run.steps, run.data.flip) == (1e-4, 128, 1000, False)


@pytest.mark.parametrize("text, precision", [("true", "bf16"), ("false", "off"), ("off", "off"), ("bf16", "bf16"),
                                             ("fp16", "fp16")])
def test_mixed_precision_is_off_or_one_of_two_kinds(tmp_path, text, precision):
    run = config.load_run(write(tmp_path, MINIMAL), [f"amp={text}"])
    assert run.amp == precision and config.parse_run(run.to_dict()) == run
    with pytest.raises(ConfigError, match="amp: is 'fp8', should be one of off, bf16, fp16"):
        config.load_run(write(tmp_path, MINIMAL), ["amp=fp8"])


def test_every_fault_is_listed_at_once(tmp_path):
    text = "family: pix2pix\nsteps: many\nbatchsize: 2\ndata:\n  size: 1.5\nrecipe:\n  l1_wieght: 3\n  beta1: true\n"
    with pytest.raises(ConfigError) as caught:
        config.load_run(write(tmp_path, text))
    message = str(caught.value)
    for part in ("steps: is 'many', should be a whole number",
                 "batchsize: is not a known key (did you mean 'batch_size'?)",
                 "batch_size: is missing", "data.path: is missing, should be a text", "data.size: is 1.5",
                 "recipe.l1_wieght: is not a known key (did you mean 'l1_weight'?)", "recipe.beta1: is True"):
        assert part in message
    assert "7 fault(s)" in message and "\n" not in message


@pytest.mark.parametrize("text, part", [
    ("family: pixpix\nsteps: 1\n", "did you mean 'pix2pix'"),
    ("steps: 1\n", "has no 'family'"),
    ("- a\n- b\n", "holds no settings"),
    ("family: [\n", "not valid YAML"),
    (MINIMAL + "  load_size: 8\n", "load_size is 8"),
    (MINIMAL + "  direction: CtoD\n", "data.direction: is 'CtoD', should be one of AtoB, BtoA"),
    (MINIMAL.replace("steps: 5", "steps: 0"), "steps: is 0"),
])
def test_wrong_files_get_one_sentence(tmp_path, text, part):
    with pytest.raises(ConfigError) as caught:
        config.load_run(write(tmp_path, text))
    assert part in str(caught.value)


def test_a_missing_file_and_a_broken_override_are_named(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        config.load_run(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="key=value"):
        config.load_run(write(tmp_path, MINIMAL), ["steps"])
    with pytest.raises(ConfigError, match="not a section"):
        config.load_run(write(tmp_path, MINIMAL), ["steps.more=1"])
