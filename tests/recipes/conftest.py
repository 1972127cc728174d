"""Small recipes without a trainer around them."""
import numpy as np
import pytest

from ppgan_apps import config


@pytest.fixture
def build():
    """build(family, data, **numbers): the family's recipe, with opened data when its folder exists."""
    import paddle

    def built(family, data=None, **numbers):
        run = config.parse_run({"family": family, "steps": 100, "batch_size": 4, "recipe": numbers,
                                "data": {"path": "none", "size": 16, **(data or {})}})
        if run.data.path != "none":
            run.data.open()
        paddle.seed(0)
        return config.recipe_class(family)(run)
    return built


@pytest.fixture
def batch():
    """batch(size, channels): four random pictures with the labels 0, 1, 0, 1."""
    import paddle

    def made(size=16, channels=3):
        pictures = np.random.default_rng(0).uniform(-1, 1, (4, channels, size, size)).astype("float32")
        return {"real": paddle.to_tensor(pictures), "label": paddle.to_tensor(np.array([0, 1, 0, 1]))}
    return made


@pytest.fixture
def weights():
    """weights(network): copies of all its numbers."""
    return lambda network: {name: value.numpy().copy() for name, value in network.state_dict().items()}
