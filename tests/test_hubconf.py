"""hubconf.py, through paddle.hub on this folder: every predictor and generator is listed, explained and loads."""
from pathlib import Path

import numpy as np
import pytest
import tiny_weights
from networks import test_networks

import ppgan_apps
from ppgan_apps.errors import WeightsError

# isort: split
import paddle

REPOSITORY = str(Path(__file__).resolve().parent.parent)
PREDICTORS = {"photo2cartoon": "Photo2CartoonPredictor", "anime2real": "Anime2RealPredictor",
              "animeganv2": "AnimeGANv2Predictor", "styleganv2": "StyleGAN2Predictor"}
SMALL = {"animegan": "animegan", "animeganv2": "animeganv2_lite", "avatar": "avatar", "cartoongan": "cartoongan",
         "dcgan": "dcgan", "mlp": "mlp", "photo2cartoon": "photo2cartoon", "resnet": "resnet",
         "stylegan2": "stylegan2", "ugatit": "ugatit", "unet": "unet", "pggan": None, "stylegan": None}
GROWING = {"size": 16, "channel_max": 8}                       # of those whose tests are elsewhere


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_weights.write_all(tmp_path_factory.mktemp("weights"))


def load(name, **options):
    return paddle.hub.load(REPOSITORY, name, source="local", **options)


def test_the_list_is_every_predictor_and_every_generator():
    listed = set(paddle.hub.list(REPOSITORY, source="local"))
    assert listed == set(PREDICTORS) | {f"{name}_generator" for name in SMALL}
    classes = {type(load(f"{name}_generator", **(test_networks.SMALL[small][1] if small else GROWING))).__name__
               for name, small in SMALL.items()}
    assert classes == {name for name in test_networks.network_classes() if name.endswith("Generator")}
    assert set(PREDICTORS.values()) == {name for name in ppgan_apps.__all__ if name.endswith("Predictor")}


@pytest.mark.parametrize("name", [*PREDICTORS, *(f"{name}_generator" for name in SMALL)])
def test_help_names_the_arguments(name):
    text = paddle.hub.help(REPOSITORY, name, source="local")
    assert "Args:" in text and ("weight_path:" in text or "weights:" in text)


@pytest.mark.parametrize("name", PREDICTORS)
def test_a_predictor_is_the_packages_own(name, tiny):
    assert type(load(name, weight_path=tiny[name])).__name__ == PREDICTORS[name]


def test_a_style_is_passed_on():
    predictor = load("animeganv2", style="pastel", max_size=256)
    assert predictor.weights.name == "animeganv2/pastel" and predictor.max_size == 256


def test_a_generator_takes_weights_and_what_they_say_of_their_network(tmp_path):
    network, x = test_networks.built("cartoongan")
    path = tiny_weights.write(tmp_path / "x.safetensors", network)
    network.eval()
    loaded = load("cartoongan_generator", weights=str(path))
    with paddle.no_grad():
        assert not loaded.training and np.array_equal(loaded(x).numpy(), network(x).numpy())
    with pytest.raises(WeightsError, match="CartoonGANGenerator"):
        load("unet_generator", weights=str(path))
    lite, _ = test_networks.built("animeganv2_lite")
    path = tiny_weights.write(tmp_path / "lite.safetensors", lite)
    assert load("animeganv2_generator", weights=str(path)).arguments["lite"] is True
