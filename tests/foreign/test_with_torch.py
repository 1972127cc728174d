"""Files that PyTorch itself wrote: every value arrives, and the imported networks compute what PyTorch does.

These run where PyTorch is installed; test_fixtures.py checks small files and results that it made without it.
"""

from __future__ import annotations

import argparse

import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle

from ppgan_apps.errors import WeightsError
from ppgan_apps.foreign import import_file, read_network
from ppgan_apps.weights import load_strict, read_metadata, read_weights
from tests.foreign import persistence, shapes

torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
references = pytest.importorskip("tests.foreign.torch_references")
TOLERANCE = 1e-4                             # of the largest output
WIDTHS = {4: 12, 8: 12, 16: 12}


def tensors(state: dict) -> dict:
    return {name: torch.from_numpy(np.array(array)) for name, array in state.items()}


def imported(tmp_path, file, **options):
    """The network in the file that an import writes, ready to run."""
    from importlib import import_module
    path, notices = import_file(file, tmp_path / "out.safetensors", overwrite=True, **options)
    module, kind = read_network(file, part=options.get("part", "")).network.split(":")
    network = getattr(import_module(f"ppgan_apps.networks.{module}"), kind)(**read_metadata(path)["network"])
    load_strict(network, read_weights(path))
    network.eval()
    return network, notices


def run(network, *arrays):
    with paddle.no_grad():
        result = network(*(paddle.to_tensor(array) for array in arrays))
    return [part.numpy() for part in result] if isinstance(result, (tuple, list)) else result.numpy()


def same(ours, theirs):
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape and np.abs(theirs).max() > 0.01
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE * np.abs(theirs).max(), rtol=0)


def picture(side: int, count: int = 1, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(5).uniform(-1, 1, (count, channels, side, side)).astype(np.float32)


def saved(tmp_path, contents, name="network.pt", legacy=False):
    torch.save(contents, tmp_path / name, _use_new_zipfile_serialization=not legacy)
    return tmp_path / name


# ---------------------------------------------------------------------------------------------------------------------
# AnimeGANv2
# ---------------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def animegan2():
    return tensors(shapes.random_state(shapes.animegan2_pytorch()))


@pytest.mark.parametrize("legacy", [False, True])
def test_animegan2_is_that_of_pytorch(tmp_path, animegan2, legacy):
    file = saved(tmp_path, animegan2, "paprika.pt", legacy)
    network, _ = imported(tmp_path, file)
    x = picture(64)
    same(run(network, x), references.animegan2(animegan2, torch.from_numpy(x)))
    metadata = read_metadata(tmp_path / "out.safetensors")
    assert metadata["network"]["upsample_align"] == "align_corners" and metadata["input"] == {"size": 256}
    assert "bryandlee" in metadata["source"] and "nothing is stated about the weights" in metadata["licence"]


def test_animegan2_without_aligned_corners(tmp_path, animegan2):
    file = saved(tmp_path, animegan2)
    network, _ = imported(tmp_path, file, changes={"upsample_align": "half_pixel"})
    x = torch.from_numpy(picture(64))
    same(run(network, x.numpy()), references.animegan2(animegan2, x, aligned=False))
    assert np.abs(run(network, x.numpy()) - references.animegan2(animegan2, x).numpy()).max() > 0.01


def test_every_value_of_animegan2_arrives(tmp_path, animegan2):
    """Each tensor's numbers are found, once, in our file."""
    path, notices = import_file(saved(tmp_path, animegan2), tmp_path / "out.safetensors")
    ours = sorted(array.tobytes() for array in read_weights(path).values())
    assert ours == sorted(array.numpy().tobytes() for array in animegan2.values())
    assert notices == [f"{len(animegan2)} entries of bryandlee/animegan2-pytorch are the {len(animegan2)} of "
                       "AnimeGANv2Generator."]


# ---------------------------------------------------------------------------------------------------------------------
# StyleGAN2
# ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("legacy", [False, True])
def test_rosinality_is_that_of_pytorch(tmp_path, legacy):
    generator = tensors(shapes.stylegan2_state(shapes.rosinality_generator(WIDTHS, 10, 3), 1))
    critic = tensors(shapes.stylegan2_state(shapes.rosinality_discriminator(WIDTHS), 2))
    mean = torch.arange(10.0)
    # What a training's checkpoint holds beside its networks, the options as argparse gives them among it.
    contents = {"g": tensors(shapes.stylegan2_state(shapes.rosinality_generator(WIDTHS, 10, 3), 3)), "d": critic,
                "g_ema": generator, "latent_avg": mean, "args": argparse.Namespace(size=16, lr=0.002, path="data"),
                "g_optim": {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(3)}}, "param_groups": [{}]}}
    file = saved(tmp_path, contents, legacy=legacy)
    network, notices = imported(tmp_path, file)
    assert any("--part: d, g" in notice for notice in notices) and any("left out by rule" in line for line in notices)
    z = np.random.default_rng(0).standard_normal((2, 10)).astype(np.float32)
    with paddle.no_grad():
        ours = network([paddle.to_tensor(z)], randomize_noise=False).numpy()
    same(ours, references.rosinality_generator(generator, torch.from_numpy(z)))
    metadata = read_metadata(tmp_path / "out.safetensors")
    assert metadata["network"] == {"size": 16, "style_dim": 10, "n_mlp": 3, "channel_multiplier": 2, "channel_max": 12}
    assert metadata["w_mean"] == list(range(10))
    critic_network, _ = imported(tmp_path, file, part="d")
    x = picture(16, 3)
    expected = references.discriminator(critic, torch.from_numpy(x), references.rosinality_names(16))
    with paddle.no_grad():
        same(critic_network(paddle.to_tensor(x)).numpy(), expected)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("multiplier", [0.01, 0.1])
def test_nvlabs_is_that_of_pytorch(tmp_path, protocol, multiplier):
    generator = tensors(shapes.nvlabs_state(shapes.nvlabs_generator(WIDTHS, 10, 2), 1, multiplier))
    critic = tensors(shapes.nvlabs_state(shapes.nvlabs_discriminator(WIDTHS), 2))
    file = tmp_path / "network-snapshot-000200.pkl"
    file.write_bytes(persistence.snapshot(generator, critic, protocol, multiplier))
    network, notices = imported(tmp_path, file)
    assert any("--part: D, G" in notice for notice in notices) and any("clamped to +-256" in line for line in notices)
    z = np.random.default_rng(0).standard_normal((2, 10)).astype(np.float32)
    with paddle.no_grad():
        ours = network([paddle.to_tensor(z)], randomize_noise=False).numpy()
    same(ours, references.nvlabs_generator(generator, torch.from_numpy(z), multiplier))
    metadata = read_metadata(tmp_path / "out.safetensors")
    np.testing.assert_array_equal(np.float32(metadata["w_mean"]), generator["mapping.w_avg"].numpy())
    assert "NVIDIA" in metadata["licence"]
    critic_network, _ = imported(tmp_path, file, part="D")
    x = picture(16, 3)
    expected = references.discriminator(critic, torch.from_numpy(x), references.nvlabs_names(16))
    with paddle.no_grad():
        same(critic_network(paddle.to_tensor(x)).numpy(), expected)


def test_a_network_that_ours_cannot_express_is_refused(tmp_path):
    generator = tensors(shapes.nvlabs_state(shapes.nvlabs_generator(WIDTHS, 10, 2)))
    critic = tensors(shapes.nvlabs_state(shapes.nvlabs_discriminator(WIDTHS)))
    for change, wanted in ((("c_dim", 10), "c_dim '10' at its top where .* has 0"),
                           (("synthesis.b8.architecture", "resnet"), "architecture 'resnet' at synthesis.b8"),
                           (("mapping.fc0.activation", "relu"), "activation 'relu'")):
        file = tmp_path / "other.pkl"
        file.write_bytes(persistence.snapshot(generator, critic, 4, 0.01, dict([change])))
        with pytest.raises(WeightsError, match=wanted):
            import_file(file, tmp_path / "out.safetensors")
    generator["synthesis.b8.conv0.resample_filter"] = torch.ones(4, 4)
    file.write_bytes(persistence.snapshot(generator, critic, 4, 0.01))
    with pytest.raises(WeightsError, match=r"synthesis.b8.conv0.resample_filter .* another filter"):
        import_file(file, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_pytorchs_own_pickles_of_tensors_are_read(tmp_path):
    """Tensors that were pickled without torch.save: of other types, turned, cut out, and sharing their numbers."""
    base = torch.arange(24.0).reshape(4, 6)
    odd = {"turned": base.t(), "cut": base[1:3, ::2], "half": base.half(), "double": base.double(), "whole": base}
    module = persistence.module("Odd", {}, {}, odd)
    file = tmp_path / "odd.pkl"
    file.write_bytes(persistence.dumps({"G": module}))
    from ppgan_apps.foreign.stylegan2_nvlabs import flatten
    from ppgan_apps.unpickling import read_persistent_pickle
    read = flatten(read_persistent_pickle(file)["G"])
    assert set(read) == set(odd)
    for name, tensor in odd.items():
        np.testing.assert_array_equal(read[name], tensor.numpy())
        assert read[name].dtype == tensor.numpy().dtype


# ---------------------------------------------------------------------------------------------------------------------
# CycleGAN, pix2pix, photo2cartoon
# ---------------------------------------------------------------------------------------------------------------------
CYCLEGAN = {
    "resnet, instance": (lambda: references.cyclegan_resnet(8, 9), 64, {"n_blocks": 9, "norm_type": "instance"}),
    "resnet, batch, dropout": (lambda: references.cyclegan_resnet(4, 2, "batch", dropout=True), 32,
                               {"use_dropout": True, "norm_type": "batch"}),
    "resnet, zeros": (lambda: references.cyclegan_resnet(4, 2, reflect=False), 32, {"padding_type": "zero"}),
    "unet, batch": (lambda: references.pix2pix_unet(4, 8), 256, {"num_downs": 8, "norm_type": "batch"}),
    "unet, instance": (lambda: references.pix2pix_unet(4, 6, "instance"), 128, {"num_downs": 6}),
    "patchgan, batch": (lambda: references.patchgan(6, 8, 3, "batch"), 64, {"input_nc": 6, "first_biased": True}),
    "patchgan, instance": (lambda: references.patchgan(3, 8, 4, "instance"), 64, {"n_layers": 4}),
}


@pytest.mark.parametrize("case", CYCLEGAN)
@pytest.mark.parametrize("old", [False, True])
def test_cyclegan_and_pix2pix_are_those_of_pytorch(tmp_path, case, old):
    make, side, wanted = CYCLEGAN[case]
    torch.manual_seed(3)
    network = make()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight, 1, 0.2)
            torch.nn.init.normal_(module.running_mean)
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    state = network.state_dict()
    before = {name: tensor.numpy().copy() for name, tensor in state.items()}
    if old:  # before 0.4 PyTorch kept statistics for instance norms; DataParallel names its network
        for name, module in network.named_modules():
            if isinstance(module, torch.nn.InstanceNorm2d):
                state[f"{name}.running_mean"] = torch.randn(module.num_features)
                state[f"{name}.running_var"] = torch.rand(module.num_features)
        state = {f"module.{name}": tensor for name, tensor in state.items()}
    ours, _ = imported(tmp_path, saved(tmp_path, state, "latest_net_G.pth", legacy=old))
    for name, value in wanted.items():
        assert ours.arguments[name] == value
    x = picture(side, channels=wanted.get("input_nc", 3))
    with torch.no_grad():
        same(run(ours, x), network.train()(torch.from_numpy(x)))  # batch norms use the batch at hand, as pix2pix does
    if "batch" in case:  # the statistics arrive too, although nothing uses them
        kept = read_weights(tmp_path / "out.safetensors")
        mean = next(name for name in state if name.endswith("running_mean"))
        own = mean.removeprefix("module.").replace("running_mean", "_mean")
        np.testing.assert_array_equal(kept[own], before[mean.removeprefix("module.")])


@pytest.mark.parametrize("part", ["", "genB2A"])
def test_photo2cartoon_is_that_of_pytorch(tmp_path, part):
    torch.manual_seed(4)
    networks = {"genA2B": references.Photo2Cartoon(8), "genB2A": references.Photo2Cartoon(8),
                "disGA": references.Photo2CartoonDiscriminator(4, 7),
                "disLA": references.Photo2CartoonDiscriminator(4, 5)}
    file = saved(tmp_path, {name: network.state_dict() for name, network in networks.items()}, "photo2cartoon.pt")
    ours, notices = imported(tmp_path, file, part=part)
    assert any("left out by rule (HourGlass1.HG.0.ConvBlock1_1.ConvBlock4.2.weight," in line for line in notices)
    x = picture(64)
    with torch.no_grad():
        cartoon, logits = networks[part or "genA2B"].eval()(torch.from_numpy(x))
    ours_cartoon, ours_logits, _ = run(ours, x)
    same(ours_cartoon, cartoon)
    same(ours_logits, logits)
    if not part:
        for name, side in (("disGA", 128), ("disLA", 64)):
            ours, _ = imported(tmp_path, file, part=name)
            x = picture(side)
            with torch.no_grad():
                patches, logits = networks[name].eval()(torch.from_numpy(x))
            same(run(ours, x)[0], patches)
            same(run(ours, x)[1], logits)
