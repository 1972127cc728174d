"""Inception through its own file format; its shapes, parameters and outputs are also a case of tests/golden."""
import hashlib

import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle

from ppgan_apps import zoo
from ppgan_apps.metrics.features import InceptionSpace
from ppgan_apps.networks.inception import InceptionV3, MixedE, average_inside


@pytest.fixture(scope="module")
def network():
    paddle.seed(0)
    return InceptionV3()


def test_it_has_the_parameters_of_the_published_network(network):
    trained = sum(int(np.prod(entry.shape)) for entry in network.parameters() if not entry.stop_gradient)
    classifier = 2048 * 1008 + 1008
    assert trained == 21_785_568 + classifier                  # torchvision's 21,785,568 without classifier and helper


def test_windows_at_the_border_average_what_is_inside():
    averaged = average_inside(paddle.ones([1, 1, 4, 5]) * 3).numpy()
    np.testing.assert_array_equal(averaged, np.full((1, 1, 4, 5), 3, np.float32))


def test_only_the_last_block_takes_the_largest_value(network):
    assert (network.Mixed_7b.largest, network.Mixed_7c.largest) == (False, True)
    x = paddle.rand([1, 8, 4, 4])
    block = MixedE(8, True)
    block.eval()
    before = block(x).numpy()
    block.largest = False
    changed = np.abs(block(x).numpy() - before).max((0, 2, 3)) > 0
    assert not changed[:-192].any() and changed[-192:].any()


def test_the_record_names_the_file_and_its_sum():
    record = zoo.get("inception")
    assert record.sha256.startswith("6726825d") and "inception-2015-12-05-6726825d.pth" in record.url


def test_a_file_of_other_weights_is_never_called_fid(network, tmp_path):
    from ppgan_apps.metrics.fid import fid
    from ppgan_apps.weights import save_weights
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    path = save_weights(tmp_path / "other.safetensors", state, half=True)
    space = InceptionSpace(path)
    assert space.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() and not space.is_inception
    pictures = np.random.RandomState(0).randint(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    first = space.extract(pictures[:2])
    result = fid(first, space.extract(pictures[2:]))
    assert result.metric == "Frechet distance"
    assert result.protocol["features"] == "Inception-v3 pool of other.safetensors"
    assert first.values.shape == (2, 2048)


def test_features_equal_torch_fidelity(tmp_path):
    """The same .pth file and the same uint8 pictures through both: reading, resizing, network."""
    pytest.importorskip("torch_fidelity", reason="compares with torch-fidelity where it is installed")
    from unittest import mock

    import torch
    from torch_fidelity import feature_extractor_inceptionv3 as reference
    torch.manual_seed(0)
    path = str(tmp_path / "random.pth")
    with mock.patch.object(reference, "load_state_dict_from_url", lambda *_, **__: {}), \
            mock.patch.object(reference.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None):
        network = reference.FeatureExtractorInceptionV3("random", ["2048"])
    for name, entry in network.state_dict().items():
        if name.endswith("running_mean"):
            entry.normal_(0, 0.1)
        if name.endswith("conv.weight"):                       # so that the pictures' differences reach the end
            entry.normal_(0, (2 / entry[0].numel()) ** 0.5)
    torch.save(network.state_dict(), path)
    pictures = np.random.RandomState(0).randint(0, 256, (2, 37, 64, 3)).astype(np.uint8)
    with torch.no_grad():
        theirs = network(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()))[0].numpy()
    ours = InceptionSpace(tmp_path / "random.pth").of(pictures)
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()
    assert np.abs(theirs[0] - theirs[1]).max() > 1e-2 * np.abs(theirs).max()           # they tell the two apart
