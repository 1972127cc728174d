"""The scripts of applications/ with the flags that PaddleGAN's tutorials show, run from a folder of the user's."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_weights

from ppgan_apps.images import read_image, write_image

APPLICATIONS = Path(__file__).resolve().parent.parent / "applications"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_weights.write_all(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def run(tmp_path):
    def script(name, *options):
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment |= {"PPGAN_APPS_OFFLINE": "1", "PPGAN_APPS_HOME": str(tmp_path / "cache")}   # nothing cached
        return subprocess.run([sys.executable, APPLICATIONS / f"{name}.py", *map(str, options)], cwd=tmp_path,
                              env=environment, capture_output=True, text=True)
    return script


def test_styleganv2_with_every_flag_of_the_tutorial(run, tiny, tmp_path):
    sheets = []
    for folder, seed in (("a", 233), ("b", 233), ("c", 7)):
        result = run("styleganv2", "--output_path", folder, "--weight_path", tiny["styleganv2"], "--model_type",
                     "ffhq-config-f", "--seed", seed, "--size", 1024, "--style_dim", 512, "--n_mlp", 8,
                     "--channel_multiplier", 2, "--n_row", 2, "--n_col", 3, "--cpu")
        assert result.returncode == 0, result.stderr
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == [
            "sample.png", "sample_mixing_0.png", "sample_mixing_1.png"]
        sheets.append((tmp_path / folder / "sample.png").read_bytes())
    assert sheets[0] == sheets[1] != sheets[2]


def test_styleganv2_offline_uses_the_embedded_avatars(run, tmp_path):
    result = run("styleganv2", "--seed", 233)
    assert result.returncode == 0, result.stderr
    assert "stylegan2/avatars" in result.stderr and "licence" in result.stderr
    assert (tmp_path / "output_dir" / "sample.png").is_file()


@pytest.mark.parametrize("name, files", [("photo2cartoon", {"p2c_photo.png", "p2c_cartoon.png"}),
                                         ("anime2real", {"a2r_anime.png", "a2r_real.png"}),
                                         ("animeganv2", {"anime.png"})])
@pytest.mark.parametrize("embedded", [False, True])
def test_a_picture_in_a_picture_out(name, files, embedded, run, tiny, tmp_path):
    import skimage.data
    write_image(tmp_path / "photo.png", skimage.data.astronaut()[::2, ::2])
    weights = () if embedded else ("--weight_path", tiny[name])
    result = run(name, "--input_image", "photo.png", "--output_path", "out", "--cpu", *weights)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == files
    if embedded:
        assert f"weights: {name}/" in result.stderr            # the name of its record, whatever its style is called
    if name == "photo2cartoon":
        assert read_image(tmp_path / "out" / "p2c_cartoon.png").shape == (256, 256, 3)


def test_bad_input_is_one_line_and_exit_2(run, tiny, tmp_path):
    result = run("animeganv2", "--input_image", "nowhere.jpg", "--weight_path", tiny["animeganv2"])
    assert result.returncode == 2 and "nowhere.jpg" in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "output_dir").exists()
    assert run("animeganv2").returncode == 2                   # the picture is not named
