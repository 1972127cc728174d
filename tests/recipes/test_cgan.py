"""Conditional GAN: the label reaches both networks, and what is asked for is what is learned."""
import numpy as np
import paddle
import pytest

from ppgan_apps import config, images
from ppgan_apps.errors import ConfigError


@pytest.fixture
def folder(tmp_path):
    """Dark and bright pictures in a sub-folder each."""
    for name, value in (("bright", 200), ("dark", 50)):
        for index in range(4):
            images.write_image(tmp_path / name / f"{index}.png", np.full((8, 8, 3), value + index, np.uint8))
    return tmp_path


def recipe_on(build, folder, **numbers):
    return build("cgan", {"path": str(folder), "size": 8, "channels": 1}, width=8, latent_dim=8, **numbers)


def test_the_label_changes_the_sample_and_the_judgement(build, folder):
    recipe = recipe_on(build, folder)
    z, pictures = recipe.latents(5), paddle.uniform([5, 1, 8, 8])
    for network, given in ((recipe.G, z), (recipe.D, pictures)):
        network.eval()
        one, other = (network(given, paddle.full([5], label, "int64")).numpy() for label in (0, 1))
        assert np.abs(one - other).max(tuple(range(1, one.ndim))).min() > 1e-4


def test_samples_are_of_the_kind_asked_for(build, folder):
    recipe = recipe_on(build, folder, lr=2e-3)
    assert recipe.run.data.classes == ("bright", "dark") and recipe.metadata() == {"labels": ["bright", "dark"]}
    samples = [recipe.run.data.sample(index, np.random.default_rng(0)) for index in range(8)]
    batch = {key: paddle.to_tensor(np.stack([sample[key] for sample in samples])) for key in ("real", "label")}
    for step in range(60):
        recipe.train_step(batch, step)
    drawn = recipe.generate(batch).mean([1, 2, 3]).numpy()
    bright, dark = (drawn[batch["label"].numpy() == label].mean() for label in (0, 1))
    assert bright > 0.2 and dark < -0.2                        # the data: 0.58 and -0.6


def test_a_preview_has_a_row_for_each_label_and_a_column_for_each_latent(build, folder):
    recipe = recipe_on(build, folder)
    recipe.G.eval()
    shown = recipe.preview({})
    assert len(shown) == 8 and all(column.shape == [2, 1, 8, 8] for column in shown.values())
    columns = list(shown.values())
    assert np.any(columns[0].numpy()[0] != columns[1].numpy()[0])


def test_data_without_labels_and_other_networks_are_refused(build, folder):
    with pytest.raises(ConfigError, match="has no labels"):
        recipe_on(build, folder / "dark")
    with pytest.raises(ConfigError, match="not 'avatar'"):
        recipe_on(build, folder, network="avatar")


def test_the_avatars_have_45_kinds_of_hair(shared):
    data = config.load_run("configs/cgan_avatars.yaml", [f"data.path={shared / 'data' / 'avatars'}"]).data.open()
    assert len(data.classes) == 45 and len(data) == 4000 and data.classes[0] == "long01"
