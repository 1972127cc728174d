"""AnimeGAN: networks, every term against numpy, warm-up, and the numbers of the published ablations."""
import numpy as np
import pytest

from ppgan_apps import config
from ppgan_apps.errors import ConfigError, WeightsError
from ppgan_apps.weights import save_weights

# isort: split
import paddle

from ppgan_apps.networks.animegan import AnimeGANDiscriminator, AnimeGANGenerator
from ppgan_apps.networks.mobilenetv2 import MobileNetV2
from ppgan_apps.recipes import animegan, animeganv2

SIZE = 32


def recipe_of(family="animegan", **recipe):
    small = {"channel": 4, "n_blocks": 1, "frozen_weights": "random", "features": "conv2_2", "warmup_steps": 0}
    if family == "animeganv2":
        small = {"lite": True, "vgg_weights": "random", "features": "conv2_2", "warmup_steps": 0}
    run = config.parse_run({"family": family, "steps": 8, "batch_size": 1, "recipe": {**small, **recipe},
                            "data": {"photo": "a", "style": "b", "smooth": "c", "size": SIZE}})
    with paddle.utils.unique_name.guard():
        paddle.seed(0)
        return config.recipe_class(family)(run)


def batch_of(seed=0):
    random = np.random.default_rng(seed)
    return {name: paddle.to_tensor(random.uniform(-1, 1, (1, 3, SIZE, SIZE)).astype("float32"))
            for name in ("photo", "anime", "anime_grey", "smooth_grey")}


def weights_of(network):
    return {name: value.numpy().copy() for name, value in network.state_dict().items()}


def test_the_generator_has_the_papers_parameters():
    assert sum(entry.size for entry in AnimeGANGenerator().parameters()) == 3_956_096


@pytest.mark.parametrize("size", [(16, 16), (32, 20)])
def test_the_generator_keeps_the_size_and_rebuilds_from_its_arguments(size):
    network = AnimeGANGenerator(channel=4, n_blocks=2)
    picture = network(paddle.uniform([2, 3, *size], min=-1))
    assert picture.shape == [2, 3, *size] and float(picture.abs().max()) <= 1
    picture.sum().backward()
    assert [name for name, entry in network.named_parameters() if entry.grad is None] == []
    again = AnimeGANGenerator(**network.arguments)
    assert {name: value.shape for name, value in again.state_dict().items()} == \
           {name: value.shape for name, value in network.state_dict().items()}


def test_the_discriminators_norm_and_dropout_keep_the_published_names():
    layer, instance = (AnimeGANDiscriminator(channel=8, norm_type=name, dropout=0.5) for name in ("layer", "instance"))
    plain = AnimeGANDiscriminator(channel=8)
    assert set(plain.state_dict()) == set(layer.state_dict())
    assert {name for name in instance.state_dict() if "orig" in name} == {name for name in plain.state_dict()
                                                                       if "orig" in name}
    x = paddle.uniform([2, 3, 32, 32], min=-1)
    assert instance(x).shape == [2, 1, 8, 8]
    instance.eval()
    np.testing.assert_array_equal(instance(x).numpy(), instance(x).numpy())    # no dropout in evaluation
    with pytest.raises(ValueError, match="batch"):
        AnimeGANDiscriminator(norm_type="batch")


def test_dropout_is_drawn_in_training():
    network = AnimeGANDiscriminator(channel=8, norm_type="instance", dropout=0.5)
    x = paddle.uniform([1, 3, 32, 32], min=-1)
    assert np.abs(network(x).numpy() - network(x).numpy()).max() > 1e-2       # far above a power iteration's change


def test_mobilenetv2_carries_the_published_names_and_gives_its_table():
    from paddle.vision.models import mobilenet_v2
    theirs = {name: value.shape for name, value in mobilenet_v2().state_dict().items()}
    network = MobileNetV2(["block1", "block6", "block13", "block17"])
    ours = {name: value.shape for name, value in network.state_dict().items()}
    assert ours == {name: shape for name, shape in theirs.items() if name in ours}
    assert set(theirs) - set(ours) == {name for name in theirs if name.startswith(("features.18", "classifier"))}
    features = network(paddle.uniform([1, 3, 64, 32], min=-1))
    assert {name: value.shape for name, value in features.items()} == {
        "block1": [1, 16, 32, 16], "block6": [1, 32, 8, 4], "block13": [1, 96, 4, 2], "block17": [1, 320, 2, 1]}
    assert all(entry.stop_gradient for entry in network.parameters())
    np.testing.assert_array_equal(network.features[0][0].weight.numpy(), MobileNetV2().features[0][0].weight.numpy())
    with pytest.raises(ValueError, match="block18"):
        MobileNetV2(["block18"])


def test_mobilenetv2_computes_what_the_published_graph_computes():
    from paddle.vision.models import mobilenet_v2
    network, theirs = MobileNetV2(["block4"]), mobilenet_v2()
    theirs.eval()
    theirs.set_state_dict({**theirs.state_dict(), **network.state_dict()})
    x = paddle.uniform([1, 3, 32, 32], min=-1)
    expected = (x - network.mean) / network.deviation
    for layer in list(theirs.features)[:5]:
        expected = layer(expected)
    np.testing.assert_allclose(network(x)["block4"].numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["animegan", "animeganv2"])
def test_terms_against_numpy(family):
    recipe, batch = recipe_of(family), batch_of()
    with paddle.no_grad():
        fake = recipe.netG(batch["photo"])
        recipe.netD.eval()                                     # a power iteration between two calls would move it
        terms = recipe._generator_terms(batch["photo"], recipe._style_pictures(batch), fake)
        logits = recipe.netD(fake).numpy()
        of_photo, of_fake, of_grey = (recipe._features(x).numpy() for x in (batch["photo"], fake, batch["anime_grey"]))

    def gram(x):
        flat = x.reshape(x.shape[1], -1)
        return flat @ flat.T / x.size

    def yuv(x):
        matrix = np.array([[0.299, 0.587, 0.114], [-0.14714119, -0.28886916, 0.43601035],
                           [0.61497538, -0.51496512, -0.10001026]])
        return np.einsum("yc,nchw->nyhw", matrix, (x.numpy() + 1) / 2)

    def huber(x):
        return np.where(np.abs(x) < 1, 0.5 * x**2, np.abs(x) - 0.5).mean()
    difference, cfg = yuv(batch["photo"]) - yuv(fake), recipe.cfg
    expected = {
        "adversarial": 300 * ((logits - 1) ** 2).mean(),
        "content": 1.5 * np.abs(of_photo - of_fake).mean(),
        "style": cfg.style_weight * np.abs(gram(of_grey) - gram(of_fake)).mean(),
        "colour": cfg.colour_weight * (np.abs(difference[:, 0]).mean()
                                       + huber(difference[:, 1]) + huber(difference[:, 2])),
    }
    if family == "animeganv2":
        shown = fake.numpy()
        expected["variation"] = np.abs(np.diff(shown, axis=2)).mean() + np.abs(np.diff(shown, axis=3)).mean()
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(expected, rel=2e-4)
    assert (cfg.style_weight, cfg.colour_weight) == ((3, 10) if family == "animegan" else (2.5, 15))


def test_the_discriminators_loss_and_the_weights_of_its_terms():
    terms = {"real_term": 0.5, "fake_term": 2.0, "grey_term": 0.0, "smooth_term": 0.25}
    assert animegan.Config().smooth_term == 0.1
    recipe, batch = recipe_of(**terms), batch_of()
    recipe.netD.eval()
    with paddle.no_grad():
        logits = {name: recipe.netD(batch[name]).numpy() for name in batch}
    loss = float(recipe._discriminator_loss(batch, batch["photo"])[0])
    expected = 300 * (0.5 * ((logits["anime"] - 1) ** 2).mean() + 2 * (logits["photo"] ** 2).mean()
                      + 0.25 * (logits["smooth_grey"] ** 2).mean())
    assert loss == pytest.approx(expected, rel=1e-4)


def test_style_is_taken_from_grey_or_colour():
    batch = batch_of()
    assert recipe_of()._style_pictures(batch) is batch["anime_grey"]
    assert recipe_of(style_from="colour")._style_pictures(batch) is batch["anime"]
    assert recipe_of("animeganv2")._style_pictures(batch) is batch["anime_grey"]


def test_warm_up_trains_the_generator_on_content_alone():
    recipe = recipe_of(warmup_steps=2)
    before_d, before_g = weights_of(recipe.netD), weights_of(recipe.netG)
    losses = [recipe.train_step(batch_of(), step) for step in (0, 1)]
    assert [set(entry) for entry in losses] == [{"content"}] * 2 and recipe.opt_G.get_lr() == pytest.approx(1e-4)
    assert all(np.array_equal(value, before_d[name]) for name, value in weights_of(recipe.netD).items())
    assert any(not np.array_equal(value, before_g[name]) for name, value in weights_of(recipe.netG).items())
    assert {"D", "adversarial", "style", "colour"} < set(recipe.train_step(batch_of(), 2))
    assert (recipe.opt_G.get_lr(), recipe.opt_D.get_lr()) == pytest.approx((8e-5, 16e-5))


@pytest.mark.parametrize("network, layer", [("vgg19", ""), ("mobilenetv2", ""), ("mobilenetv2", "block2")])
def test_the_frozen_network_is_chosen_and_gives_a_gradient_but_gets_none(network, layer):
    recipe, batch = recipe_of(frozen_network=network, features=layer), batch_of()
    features = recipe._features(batch["photo"])
    assert features.shape == {"": [1, 512 if network == "vgg19" else 32, 4, 4], "block2": [1, 24, 8, 8]}[layer]
    losses = recipe.train_step(batch, 0)
    assert all(np.isfinite(float(value)) for value in losses.values())
    assert not any(name.startswith("_") for name in vars(recipe) if isinstance(getattr(recipe, name), paddle.nn.Layer))


def test_frozen_weights_come_from_a_file(tmp_path):
    paddle.seed(3)
    source = MobileNetV2(["block3"], seed=5)
    arrays = {name: value.numpy() for name, value in source.state_dict().items()}
    save_weights(tmp_path / "mobilenet.safetensors", {**arrays, "classifier.1.bias": np.zeros(4, np.float32)}, {})
    recipe = recipe_of(frozen_network="mobilenetv2", features="block3",
                       frozen_weights=str(tmp_path / "mobilenet.safetensors"))
    x = batch_of()["photo"]
    np.testing.assert_array_equal(recipe._features(x).numpy(), source(x)["block3"].numpy())


def test_missing_weights_and_layers_are_named_with_the_way_out(tmp_path):
    for family, key in (("animegan", "frozen_weights"), ("animeganv2", "vgg_weights")):
        with pytest.raises(WeightsError, match=f"recipe.{key}=random") as caught:
            recipe_of(family, **{key: str(tmp_path / "none.safetensors")})
        assert "none.safetensors" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="recipe.features is 'conv9_1'"):
        recipe_of(features="conv9_1")
    with pytest.raises(ConfigError, match="discriminator_dropout is 1"):
        recipe_of(discriminator_dropout=1)


def test_version_two_keeps_its_keys():
    assert list(vars(animeganv2.Config())) == [
        "lite", "warmup_steps", "warmup_lr", "lr_g", "lr_d", "decay_start", "adversarial_weight", "content_weight",
        "style_weight", "colour_weight", "variation_weight", "real_term", "fake_term", "grey_term", "smooth_term",
        "features", "vgg_weights"]
