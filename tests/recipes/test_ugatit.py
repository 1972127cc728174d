"""U-GAT-IT and Photo2Cartoon: terms against numpy, rho within [0, 1], light and full generators, published numbers."""
import dataclasses

import numpy as np
import pytest

from ppgan_apps import config

# isort: split
import paddle

from ppgan_apps.networks.mobilefacenet import MobileFaceNet, recognisable_face
from ppgan_apps.networks.photo2cartoon import Photo2CartoonGenerator
from ppgan_apps.networks.ugatit import UGATITGenerator
from ppgan_apps.recipes import photo2cartoon, ugatit
from ppgan_apps.weights import save_weights

SIZE = 32
RANDOM = np.random.default_rng(0)


def recipe_of(family, **recipe):
    small = {"ngf": 4, "n_blocks": 1, "ndf": 4, "global_layers": 4, "local_layers": 3}
    run = config.parse_run({"family": family, "steps": 8, "batch_size": 1, "recipe": {**small, **recipe},
                            "data": {"path_a": "a", "path_b": "b", "size": SIZE, "load_size": SIZE}})
    with paddle.utils.unique_name.guard():
        paddle.seed(0)
        return config.recipe_class(family)(run)


def pictures(seed):
    random = np.random.default_rng(seed)
    return paddle.to_tensor(random.uniform(-1, 1, (1, 3, SIZE, SIZE)).astype("float32"))


def rhos(network):
    """Mixing ratios; Photo2Cartoon's norms also mix the style with the content."""
    ratios = ("rho", "w_gamma", "w_beta") if isinstance(network, Photo2CartoonGenerator) else ("rho",)
    found = {name: entry for name, entry in network.named_parameters() if name.rsplit(".", 1)[-1] in ratios}
    assert {name.rsplit(".", 1)[-1] for name in found} == set(ratios)
    return found


def cross_entropy(logits, target):
    probability = 1 / (1 + np.exp(-logits))
    return -np.log(probability if target else 1 - probability).mean()


def test_the_weights_are_those_of_the_papers():
    weights = ("adversarial_weight", "cycle_weight", "identity_weight", "cam_weight")
    assert [getattr(ugatit.Config(), name) for name in weights] == [1, 10, 10, 1000]
    assert [getattr(photo2cartoon.Config(), name) for name in weights] == [1, 50, 10, 1000]
    assert (ugatit.Config().ngf, ugatit.Config().light) == (64, False)
    assert (photo2cartoon.Config().ngf, photo2cartoon.Config().light) == (32, True)
    keys = [entry.name for entry in dataclasses.fields(photo2cartoon.Config)]
    assert keys == ["ngf", "n_blocks", "light", "ndf", "global_layers", "local_layers", "lr", "weight_decay",
                    "decay_start", *weights, "face_id_weight", "face_id_weights"]


@pytest.mark.parametrize("light", [False, True])
def test_generators_are_light_or_full(light):
    recipe = recipe_of("ugatit", light=light)
    assert isinstance(recipe.genA2B, UGATITGenerator) and recipe.genA2B.arguments["light"] is light
    assert recipe.genA2B.FC[0].weight.shape[0] == 16 * (1 if light else (SIZE // 4) ** 2)
    image, cam, heatmap = recipe.genB2A(pictures(0))
    assert image.shape == [1, 3, SIZE, SIZE] and cam.shape == [1, 2] and heatmap.shape == [1, 1, SIZE // 4, SIZE // 4]


def test_the_full_generator_has_the_papers_278_millions():
    """Worked out from one for 8 pixels: only the first style layer sees the size."""
    light, small = (sum(entry.size for entry in UGATITGenerator(light=light, img_size=8).parameters()
                        if not entry.stop_gradient) for light in (True, False))
    assert small == light + 256 * 256 * (2 * 2 - 1)
    assert light == 10_589_888 and light + 256 * 256 * (64 * 64 - 1) == 278_959_808


@pytest.mark.parametrize("family", ["ugatit", "photo2cartoon"])
def test_rho_stays_within_zero_and_one(family):
    recipe = recipe_of(family, **({"face_id_weight": 0} if family == "photo2cartoon" else {}))
    generators = (recipe.genA2B, recipe.genB2A)
    for generator in generators:
        names = list(rhos(generator).items())
        assert len(names) >= 4
        for number, (_, rho) in enumerate(names):
            rho.set_value(paddle.full(rho.shape, 1.5 if number % 2 else -0.5))
    recipe.train_step({"real_a": pictures(0), "real_b": pictures(1)}, 0)
    for generator in generators:
        for number, rho in enumerate(rhos(generator).values()):
            assert float(rho.min()) == float(rho.max()) == number % 2   # clipped to the nearer end


def test_terms_against_numpy():
    recipe, real_a, real_b = recipe_of("ugatit"), pictures(0), pictures(1)
    with paddle.no_grad():
        (fake_b, fake_b_cam, _), (fake_a, fake_a_cam, _) = recipe.genA2B(real_a), recipe.genB2A(real_b)
        back_a, back_b = recipe.genB2A(fake_b)[0].numpy(), recipe.genA2B(fake_a)[0].numpy()
        (same_a, same_a_cam, _), (same_b, same_b_cam, _) = recipe.genB2A(real_a), recipe.genA2B(real_b)
        discriminators = (recipe.disGA, recipe.disLA, recipe.disGB, recipe.disLB)
        for network in discriminators:
            network.eval()                                     # a power iteration between two calls would move them
        judged = [network(fake)[:2] for network, fake in zip(discriminators, (fake_a, fake_a, fake_b, fake_b))]
        terms = recipe._generator_terms(real_a, real_b, fake_a, fake_b, fake_a_cam, fake_b_cam)
        loss_d = float(recipe._discriminator_loss(real_a, fake_a, recipe.disGA, recipe.disLA))
        real = [network(real_a)[:2] for network in discriminators[:2]]
    a, b = real_a.numpy(), real_b.numpy()
    expected = {
        "adversarial": sum(((logits.numpy() - 1) ** 2).mean() for pair in judged for logits in pair),
        "cycle": 10 * (np.abs(back_a - a).mean() + np.abs(back_b - b).mean()),
        "identity": 10 * (np.abs(same_a.numpy() - a).mean() + np.abs(same_b.numpy() - b).mean()),
        "cam": 1000 * (cross_entropy(fake_a_cam.numpy(), 1) + cross_entropy(same_a_cam.numpy(), 0)
                       + cross_entropy(fake_b_cam.numpy(), 1) + cross_entropy(same_b_cam.numpy(), 0)),
    }
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(expected, rel=1e-4)
    expected_d = sum(((logits.numpy() - 1) ** 2).mean() for pair in real for logits in pair)
    expected_d += sum((logits.numpy() ** 2).mean() for pair in judged[:2] for logits in pair)
    assert loss_d == pytest.approx(expected_d, rel=1e-4)


def test_photo2cartoon_adds_the_distance_of_faces():
    recipe = recipe_of("photo2cartoon", face_id_weight=0)
    assert isinstance(recipe.genA2B, Photo2CartoonGenerator) and recipe._face_network is None
    embeddings = {}

    def embed(images):
        return embeddings.setdefault(id(images), paddle.to_tensor(RANDOM.normal(size=(1, 8)).astype("float32")))
    recipe._embed = embed
    real, fake = pictures(0), pictures(1)
    distance = float(recipe._face_distance(real, fake))
    one, other = (embeddings[id(images)].numpy()[0] for images in (real, fake))
    cosine = (one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other)
    assert distance == pytest.approx(1 - cosine, rel=1e-5)
    assert float(recipe._face_distance(real, real)) == pytest.approx(0, abs=1e-6)


def test_the_face_network_comes_from_a_file_sees_the_face_and_stays_as_it_is(tmp_path):
    """Its weights here are random; the published file is only linked."""
    paddle.seed(1)
    network = MobileFaceNet()
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    save_weights(tmp_path / "face.safetensors", state, {"family": "mobilefacenet"})
    recipe = recipe_of("photo2cartoon", face_id_weights=str(tmp_path / "face.safetensors"))
    real, fake = pictures(0), pictures(1)
    network.eval()
    one, other = (network(recognisable_face(images)).numpy()[0] for images in (real, fake))
    fake.stop_gradient = False
    distance = recipe._face_distance(real, fake)
    assert float(distance) == pytest.approx(1 - (one * other).sum(), rel=1e-4)
    distance.backward()
    assert float(fake.grad.abs().sum()) > 0
    losses = recipe.train_step({"real_a": real, "real_b": pictures(2)}, 0)
    assert 0 < float(losses["face_id"]) < 4
    assert all((recipe._face_network.state_dict()[name].numpy() == value).all() for name, value in state.items())
