"""Every network with published weights: the published keys and shapes, and the reference implementation's outputs."""
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle

from ppgan_apps.weights import load_strict

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = {path.stem: json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*.json"))}
_specification = importlib.util.spec_from_file_location("golden_fill", GOLDEN / "fill.py")
fill = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(fill)
TOLERANCE = 1e-4                             # of the largest output

# The reference implementation's class names, and ours.
NETWORKS = {
    "AnimeDiscriminator": ("animegan", "AnimeGANDiscriminator", {}),
    "AnimeGenerator": ("animeganv2", "AnimeGANv2Generator", {}),
    "AnimeGeneratorLite": ("animeganv2", "AnimeGANv2Generator", {"lite": True}),
    "ResnetGenerator": ("resnet", "ResnetGenerator", {}),
    "NLayerDiscriminator": ("patchgan", "NLayerDiscriminator", {}),
    "ResnetUGATITP2CGenerator": ("photo2cartoon", "Photo2CartoonGenerator", {}),
    "UnetGenerator": ("unet", "UnetGenerator", {}),
    "StyleGANv2Discriminator": ("stylegan2", "StyleGAN2Discriminator", {}),
    "StyleGANv2Generator": ("stylegan2", "StyleGAN2Generator", {}),
    "UGATITDiscriminator": ("ugatit", "UGATITDiscriminator", {}),
    "ResnetUGATITGenerator": ("ugatit", "UGATITGenerator", {}),
    "FeatureExtractorInceptionV3": ("inception", "InceptionV3", {}),         # of torch-fidelity 0.4.0
}


def build(case):
    module, name, arguments = NETWORKS[case["network"]]
    network_class = getattr(importlib.import_module(f"ppgan_apps.networks.{module}"), name)
    network = network_class(**arguments, **case["arguments"])
    network.eval()
    return network


def filled_state(case, network):
    kept = network.state_dict()
    state = {key: fill.entry(key, shape, case["seed"], case["equalised"]) if how == "filled" else kept[key].numpy()
             for key, shape, how in case["state"]}
    for key in [key for key in state if key.endswith("weight_u")]:
        stem = key[:-len("weight_u")]
        vectors = fill.spectral_vectors(state[stem + "weight_orig"], state[key], state[stem + "weight_v"])
        state[key], state[stem + "weight_v"] = vectors
    return state


def outputs_of(case, network):
    if case["network"] == "StyleGANv2Generator":
        return stylegan2_outputs(case["seed"], network)
    outputs = network(paddle.to_tensor(picture(case)))
    return outputs if isinstance(outputs, (list, tuple)) else [outputs]


def picture(case):
    """The input as it was fed: six channels are two pictures side by side, the second from the next seed."""
    (images, channels, *size), seed = case["input"]["shape"], case["input"]["seed"]
    scale = case["input"].get("scale", 1)                      # for a deep network in which the biases would drown it
    return scale * np.concatenate([fill.image([images, 3, *size], seed + index) for index in range(channels // 3)], 1)


def stylegan2_outputs(seed, network):
    z = paddle.to_tensor(np.random.RandomState(seed + 7).standard_normal((2, 512)).astype("float32"))
    centre = paddle.to_tensor(0.1 * np.random.RandomState(seed + 9).standard_normal((1, 512)).astype("float32"))
    return [network([z], randomize_noise=False),
            network([z[:1]], randomize_noise=False, truncation=0.7, truncation_latent=centre),
            network([z[:1], z[1:]], randomize_noise=False, inject_index=4)]


@pytest.mark.parametrize("name", CASES)
def test_network_is_the_published_one(name):
    case = CASES[name]
    network = build(case)
    ours = {key: list(entry.shape) for key, entry in network.state_dict().items()}
    assert ours == {key: shape for key, shape, _ in case["state"]}

    load_strict(network, filled_state(case, network))
    with paddle.no_grad():
        outputs = outputs_of(case, network)
    recorded = np.load(GOLDEN / f"{name}.npz")
    assert len(outputs) == len(recorded.files) == len(case["outputs"])
    for output, file, described in zip(outputs, recorded.files, case["outputs"], strict=True):
        assert list(output.shape) == described["shape"]
        stride = described["stride"]
        values = output.numpy()[..., ::stride, ::stride] if stride > 1 else output.numpy()
        assert np.abs(values - recorded[file]).max() <= TOLERANCE * np.abs(recorded[file]).max()
