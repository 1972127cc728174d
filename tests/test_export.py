"""Exported networks: equal to the eager ones at every size, described in the file, drawn with by the predictors."""
import json

import numpy as np
import pytest
import tiny_weights
from networks import test_networks

import ppgan_apps
from ppgan_apps import cli, engines
from ppgan_apps import export as exporting
from ppgan_apps.downloads import sha256_of
from ppgan_apps.errors import ConfigError, ExportError, MissingExtra, OutputError, WeightsError
from ppgan_apps.images import read_image

# isort: split
import paddle

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

GENERATORS = sorted(name for name, (network_class, *_) in test_networks.SMALL.items()
                    if network_class.__name__.endswith("Generator"))
# One of each kind of layer that a Paddle program may trip over; tracing takes seconds.
PROGRAMS = ["animegan", "cgan", "stylegan2", "ugatit_light", "unet"]
SIZES = {"animeganv2_lite": (52, 36), "cartoongan": (20, 44), "resnet": (36, 28),
         "ugatit_light": (28, 44), "unet": (32, 96)}                 # neither square nor those of the comparison


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_weights.write_all(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def portrait():
    import skimage.data
    return np.ascontiguousarray(skimage.data.astronaut()[::2, ::2])


def exported(tiny, name, path, *options):
    assert cli.main(["export", str(tiny[name]), "-o", str(path), *options]) == 0
    return path


def close(found, wanted, bound=1e-3):
    return np.abs(found - wanted).max() <= bound * np.abs(wanted).max()


def test_every_generator_is_listed():
    """But for those that grow, with which no predictor draws."""
    listed = {entry.partition(":")[2] for entry in exporting.NETWORKS}
    assert listed == {name for name in test_networks.network_classes() if name.endswith("Generator")} - {
        "PGGANGenerator", "StyleGANGenerator"}


@pytest.mark.parametrize("name", GENERATORS)
def test_onnx_agrees_with_eager(name, tmp_path):
    network, _ = test_networks.built(name)
    differences = exporting.export(network, tmp_path / "x.onnx")
    bounded = {sample: value for sample, value in differences.items() if not sample.endswith(exporting.ROUNDED)}
    assert len(bounded) == 2 and max(bounded.values()) < 1e-3
    subject = exporting.describe(network)
    arrays = subject.samples["random"]
    found = engines.OnnxNetwork(tmp_path / "x.onnx")(*arrays)
    assert all(close(*pair) for pair in zip(found, exporting.eager(subject, arrays), strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx"]


@pytest.mark.parametrize("name", SIZES)
def test_height_width_and_batch_of_an_onnx_file_are_free(name, tmp_path):
    network, _ = test_networks.built(name)
    exporting.export(network, tmp_path / "x.onnx")
    x = np.random.RandomState(3).uniform(-1, 1, (3, 3, *SIZES[name])).astype(np.float32)
    wanted = exporting.eager(exporting.describe(network), [x])[0]
    assert close(engines.OnnxNetwork(tmp_path / "x.onnx")(x)[0], wanted)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_paddle_program_agrees_with_eager(name, tmp_path):
    network, _ = test_networks.built(name)
    differences = exporting.export(network, tmp_path / "program", {"licence": "CC0-1.0"})
    assert len(differences) == 2 and max(differences.values()) < 1e-3
    opened = engines.open_network(tmp_path / "program")
    assert opened.about["licence"] == "CC0-1.0" and opened.arguments == network.arguments
    if name == "ugatit_light":
        x = np.random.RandomState(3).uniform(-1, 1, (3, 3, 28, 44)).astype(np.float32)
        assert close(opened(x)[0], exporting.eager(exporting.describe(network), [x])[0])


def test_a_stylegan2_takes_w_with_a_fixed_truncation(tmp_path):
    network, _ = test_networks.built("stylegan2")
    exporting.export(network, tmp_path / "w.onnx", latent="w", truncation=0.5)
    w = np.random.RandomState(0).randn(2, network.n_latent, 8).astype(np.float32)
    with paddle.no_grad():
        mean = network.mean_latent()
        wanted = network.synthesis(mean + 0.5 * (paddle.to_tensor(w) - mean), noise="stored").numpy()
    file = engines.OnnxNetwork(tmp_path / "w.onnx")
    assert list(file.inputs) == ["w"] and close(file(w)[0], wanted)


def test_half_precision_halves_the_file_and_keeps_float32_arithmetic(tmp_path):
    network, _ = test_networks.built("animeganv2_lite")
    exporting.export(network, tmp_path / "full.onnx")
    differences = exporting.export(network, tmp_path / "half.onnx", half=True)
    assert 1e-6 < max(differences.values()) < exporting.HALF_BOUND
    assert (tmp_path / "half.onnx").stat().st_size < 0.6 * (tmp_path / "full.onnx").stat().st_size
    assert engines.OnnxNetwork(tmp_path / "half.onnx")(np.zeros((1, 3, 32, 32), np.float32))[0].dtype == np.float32
    with pytest.raises(ExportError, match="fp16"):
        exporting.export(network, tmp_path / "program", half=True)


@pytest.mark.parametrize("name", ["broken.onnx", "broken"])
def test_an_export_that_differs_is_not_kept(name, tmp_path):
    network, _ = test_networks.built("dcgan")
    subject = exporting.describe(network)
    write = exporting.write_onnx if name.endswith(".onnx") else exporting.write_program
    forward = network.forward

    class Drifted(type(network)):
        """Other than what is written: its own weights are a little larger whenever it is compared with."""

        def __call__(self, *inputs):
            return forward(*inputs) * 1.01
    network.__class__ = Drifted
    with pytest.raises(ExportError, match="not kept"):
        write(subject, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_is_no_number_is_not_kept(tmp_path):
    network, _ = test_networks.built("dcgan")
    first = next(iter(network.parameters()))
    first.set_value(paddle.full_like(first, float("nan")))
    with pytest.raises(ExportError, match="not kept"):
        exporting.export(network, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_without_an_onnx_form_is_named(tmp_path):
    from ppgan_apps.onnx_graphs import Graph
    from ppgan_apps.onnx_networks import express
    with pytest.raises(ExportError, match="MaxPool2D has no ONNX form"):
        express(paddle.nn.Sequential(paddle.nn.MaxPool2D(2)), Graph(), "x")


def test_the_file_says_what_it_is(tiny, tmp_path, capsys):
    file = engines.OnnxNetwork(exported(tiny, "anime2real", tmp_path / "x.onnx"))
    assert "CC0-1.0" in capsys.readouterr().out
    assert file.about["family"] == "pix2pix" and file.about["licence"] == "CC0-1.0"
    assert file.about["weights_sha256"] == sha256_of(tiny["anime2real"])
    assert file.about["network"]["num_downs"] == 5 and file.about["class"] == "UnetGenerator"
    assert file.about["input"]["size"] == 32 and file.about["input"]["multiple_of"] == 32
    assert file.about["input"]["range"] == [-1, 1]
    assert file.inputs == {"photo": ["batch", 3, "height", "width"]}


@pytest.mark.parametrize("name", ["animeganv2", "anime2real", "photo2cartoon"])
def test_a_picture_predictor_draws_the_same_with_an_onnx_file(name, tiny, portrait, tmp_path):
    predictor = getattr(ppgan_apps, {"animeganv2": "AnimeGANv2Predictor", "anime2real": "Anime2RealPredictor",
                                     "photo2cartoon": "Photo2CartoonPredictor"}[name])
    path = exported(tiny, name, tmp_path / "x.onnx")
    own, other = (predictor(weight_path=given).predict(portrait) for given in (tiny[name], path))
    # Whichever engine is the fastest for its own: they round differently, by a level or two at single pixels.
    difference = np.abs(own.astype(int) - other)
    assert difference.max() <= 2 and difference.mean() < 0.05 and own.std() > 1


def test_a_predictor_draws_the_same_with_a_paddle_program(tiny, portrait, tmp_path):
    folder = exported(tiny, "anime2real", tmp_path / "program")
    assert json.loads((folder / engines.ABOUT_FILE).read_text())["licence"] == "CC0-1.0"
    wanted = ppgan_apps.Anime2RealPredictor(weight_path=tiny["anime2real"]).predict(portrait)
    for path in (folder, folder / "model.pdiparams"):
        found = ppgan_apps.Anime2RealPredictor(weight_path=path).predict(portrait)
        assert np.abs(wanted.astype(int) - found).max() <= 2


@pytest.mark.parametrize("name", ["x.onnx", "program"])
def test_stylegan2_draws_the_same_pictures_and_mixtures(name, tiny, tmp_path):
    path = exported(tiny, "styleganv2", tmp_path / name)
    own, other = (ppgan_apps.StyleGAN2Predictor(tmp_path / str(index), given, seed=5)
                  for index, given in enumerate((tiny["styleganv2"], path)))
    for truncation in (0.7, 1.0):
        pairs = zip(own.sample(2, truncation=truncation), other.sample(2, truncation=truncation), strict=True)
        assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in pairs)
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(own.run(2, 2), other.run(2, 2), strict=True))


def test_a_fixed_truncation_is_the_predictors(tiny, tmp_path):
    path = exported(tiny, "styleganv2", tmp_path / "x.onnx", "--truncation", "0.4")
    predictor = ppgan_apps.StyleGAN2Predictor(tmp_path, path, seed=1)
    wanted = ppgan_apps.StyleGAN2Predictor(tmp_path, tiny["styleganv2"], seed=1).sample(1, truncation=0.4)[0]
    assert np.abs(predictor.sample(1)[0].astype(int) - wanted).max() <= 1
    with pytest.raises(ppgan_apps.errors.ConfigError, match="0.4"):
        predictor.sample(1, truncation=0.9)
    with pytest.raises(WeightsError, match="--latent z"):
        ppgan_apps.StyleGAN2Predictor(tmp_path, exported(tiny, "styleganv2", tmp_path / "w.onnx", "--latent", "w"))


def test_the_command_draws_with_an_onnx_file(tiny, portrait, tmp_path):
    from PIL import Image
    Image.fromarray(portrait).save(tmp_path / "photo.png")
    path = exported(tiny, "animeganv2", tmp_path / "x.onnx")
    assert cli.main(["animeganv2", str(tmp_path / "photo.png"), "-o", str(tmp_path / "out"),
                     "--weight-path", str(path)]) == 0
    assert read_image(tmp_path / "out" / "photo_anime.png").shape == portrait.shape


def test_a_users_file_is_not_overwritten_unasked(tiny, tmp_path, capsys):
    for name in ("x.onnx", "folder"):
        path = tmp_path / name
        path.mkdir() if name == "folder" else path.write_text("mine")
        assert cli.main(["export", str(tiny["styleganv2"]), "-o", str(path)]) == 2
        assert "--overwrite" in capsys.readouterr().err
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    network, _ = test_networks.built("mlp")
    with pytest.raises(OutputError, match="something else"):
        exporting.export(network, tmp_path / "folder", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "x.onnx"]


def test_what_cannot_be_used_is_one_sentence(tiny, tmp_path):
    file = exported(tiny, "styleganv2", tmp_path / "x.onnx")
    with pytest.raises(WeightsError, match="takes 2 inputs"):
        ppgan_apps.AnimeGANv2Predictor(weight_path=file)
    cartoon = exported(tiny, "photo2cartoon", tmp_path / "cartoon.onnx")
    with pytest.raises(WeightsError, match="AnimeGANv2Predictor"):
        ppgan_apps.AnimeGANv2Predictor(weight_path=cartoon)
    with pytest.raises(ConfigError, match="is an exported network"):
        ppgan_apps.StyleGAN2Predictor(weight_path=file).walk([1, 2])
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(WeightsError, match="is no ONNX file"):
        ppgan_apps.AnimeGANv2Predictor(weight_path=tmp_path / "bad.onnx")
    with pytest.raises(WeightsError, match="no ONNX file"):
        engines.OnnxNetwork(tmp_path / "none.onnx")
    (tmp_path / "half.json").write_text("{}")
    with pytest.raises(WeightsError, match="half a Paddle program"):
        engines.open_network(tmp_path / "half.json")
    with pytest.raises(WeightsError, match="fits no generator"):
        exporting.load(tiny["styleganv2"], {"colour": 3})
    with pytest.raises(WeightsError, match="cannot be run on 1x8"):
        engines.OnnxNetwork(file)(np.zeros((1, 8), np.float32), np.ones(1, np.float32))


def test_a_missing_onnx_is_one_sentence(monkeypatch):
    import sys

    from ppgan_apps.onnx_graphs import Graph
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"\[onnx\]"):
        Graph()
