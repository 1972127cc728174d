"""Small files that PyTorch and TensorFlow wrote, imported without them: what the networks draw is what those drew.

make_fixtures.py wrote the files and the outputs.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle

from ppgan_apps import cli
from ppgan_apps.errors import OutputError, WeightsError
from ppgan_apps.foreign import animegan2_pytorch, animeganv2_tensorflow, import_file, read_network
from ppgan_apps.foreign.tensorbundle import read_checkpoint
from ppgan_apps.weights import load_strict, read_metadata, read_weights
from tests.foreign import shapes

FOLDER = Path(__file__).parents[1] / "data" / "foreign"
STRIDE = 5
OUTPUTS = np.load(FOLDER / "outputs.npz")
SMALL = {  # file, part, what make_fixtures.py calls the result, side of the picture that is fed
    "rosinality": ("rosinality_zip.pt", "", "rosinality", 0),
    "rosinality, before PyTorch 1.6": ("rosinality_legacy.pt", "g_ema", "rosinality", 0),
    "rosinality's discriminator": ("rosinality_zip.pt", "d", "rosinality d", 8),
    "NVlabs": ("nvlabs.pkl", "", "nvlabs", 0),
    "NVlabs's discriminator": ("nvlabs.pkl", "D", "nvlabs d", 8),
    "CycleGAN": ("cyclegan_resnet.pth", "", "cyclegan resnet", 32),
    "pix2pix": ("cyclegan_unet.pth", "", "cyclegan unet", 32),
    "PatchGAN": ("cyclegan_patchgan.pth", "", "cyclegan patchgan", 32),
}


def noise(side: int) -> np.ndarray:
    return np.random.default_rng(5).uniform(-1, 1, (1, 3, side, side)).astype(np.float32)


def build(imported):
    module, kind = imported.network.split(":")
    network = getattr(import_module(f"ppgan_apps.networks.{module}"), kind)(**imported.arguments)
    load_strict(network, imported.state)
    network.eval()                                             # which returns nothing in Paddle 2.6
    return network


def run(network, side: int) -> np.ndarray:
    with paddle.no_grad():
        if side:
            return network(paddle.to_tensor(noise(side))).numpy()
        z = np.random.default_rng(6).standard_normal((2, 6)).astype(np.float32)
        return network([paddle.to_tensor(z)], randomize_noise=False).numpy()


@pytest.mark.parametrize("case", SMALL)
def test_an_imported_network_computes_what_the_foreign_one_did(tmp_path, case):
    file, part, name, side = SMALL[case]
    path, _ = import_file(FOLDER / file, tmp_path / "out.safetensors", part=part)
    imported = read_network(FOLDER / file, part=part)
    network = build(imported)
    np.testing.assert_allclose(run(network, side), OUTPUTS[name], atol=1e-4 * np.abs(OUTPUTS[name]).max(), rtol=0)
    written = read_weights(path)
    assert set(written) == set(imported.state) == set(network.state_dict())
    assert all(np.array_equal(written[entry], array) for entry, array in imported.state.items())


@pytest.mark.parametrize("upsampling", ["align_corners", "half_pixel", "asymmetric"])
def test_animeganv2_computes_what_the_foreign_one_did(upsampling):
    module, made, name = {
        "align_corners": (animegan2_pytorch, shapes.animegan2_pytorch(), "animegan2 aligned"),
        "half_pixel": (animegan2_pytorch, shapes.animegan2_pytorch(), "animegan2 half_pixel"),
        "asymmetric": (animeganv2_tensorflow, shapes.animeganv2_tensorflow(), "animeganv2 tensorflow"),
    }[upsampling]
    imported = module.convert(shapes.random_state(made), "paprika")
    network = build(type(imported)(imported.network, {**imported.arguments, "upsample_align": upsampling},
                                   imported.state))
    result = run(network, 64)[:, :, ::STRIDE, ::STRIDE]
    np.testing.assert_allclose(result, OUTPUTS[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["plain.ckpt", "snappy.ckpt"])
def test_a_checkpoint_of_tensorflow(name):
    read = read_checkpoint(FOLDER / name)
    np.testing.assert_array_equal(read.pop("generator/a"), np.arange(12, dtype=np.float32).reshape(3, 4) / 8)
    np.testing.assert_array_equal(read.pop("generator/b"), np.arange(5))
    assert sorted(read) == [f"generator/layer_{number}/weights" for number in range(8)]
    assert all(array == np.float32(int(key.split("_")[1][0])) for key, array in read.items())


@pytest.mark.parametrize("name", ["plain.ckpt", "snappy.ckpt"])
def test_a_damaged_checkpoint_is_one_clear_error(tmp_path, name):
    """Each byte of the index and the data in turn, and each length: never other numbers, never a trace."""
    index, data = (FOLDER / f"{name}.index").read_bytes(), (FOLDER / f"{name}.data-00000-of-00001").read_bytes()
    good = read_checkpoint(FOLDER / name)
    cases = [(index[:length], data) for length in range(len(index))]
    cases += [(index, data[:length]) for length in range(len(data))]
    cases += [(index[:at] + bytes([index[at] ^ 5]) + index[at + 1:], data) for at in range(len(index))]
    cases += [(index, data[:at] + bytes([data[at] ^ 5]) + data[at + 1:]) for at in range(len(data))]
    refused = 0
    for number, (changed_index, changed_data) in enumerate(cases):
        (tmp_path / "x.ckpt.index").write_bytes(changed_index)
        (tmp_path / "x.ckpt.data-00000-of-00001").write_bytes(changed_data)
        try:
            read = read_checkpoint(tmp_path / "x.ckpt")
        except WeightsError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 500
        else:  # what says nothing may change: the footer's padding, and where the empty block lies
            assert number >= len(index) + len(data)
            assert all(np.array_equal(read[key], array) for key, array in good.items()), number
    assert refused > len(cases) - 60


def test_a_checkpoint_without_its_numbers(tmp_path):
    (tmp_path / "x.ckpt.index").write_bytes((FOLDER / "plain.ckpt.index").read_bytes())
    with pytest.raises(WeightsError, match="x.ckpt.data-00000-of-00001 cannot be read .*all its files side by side"):
        read_checkpoint(tmp_path / "x.ckpt")


# ---------------------------------------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------------------------------------
def test_the_command_writes_what_a_predictor_loads(tmp_path, capsys):
    target = tmp_path / "new" / "avatars.safetensors"
    command = ["zoo", "import", str(FOLDER / "rosinality_zip.pt"), "--as", "stylegan2", "-o", str(target)]
    assert cli.main(command) == 0
    out, err = capsys.readouterr()
    assert out.strip() == str(target)
    assert "of rosinality/stylegan2-pytorch (g_ema)" in err and "for --part: d" in err
    metadata = read_metadata(target)
    assert metadata["family"] == "stylegan2" and metadata["licence"] == "not stated in the file"
    assert metadata["w_mean"] == list(range(6))
    assert cli.main(["styleganv2", "--seed", "1", "--count", "1", "--weight-path", str(target), "-o",
                     str(tmp_path)]) == 0
    assert (tmp_path / "seed1_1.png").is_file()
    assert cli.main(command) == 2 and "exists; use --overwrite" in capsys.readouterr().err
    assert cli.main([*command, "--overwrite", "--licence", "CC0-1.0"]) == 0
    assert read_metadata(target)["licence"] == "CC0-1.0"


@pytest.mark.parametrize("arguments, reason", [
    (["nothing.pt"], r"nothing.pt cannot be read \(No such file"),
    ([str(FOLDER)], "a folder without a TensorFlow checkpoint"),
    ([str(FOLDER / "outputs.npz")], "data.pkl"),
    ([str(FOLDER / "plain.ckpt")], r"no network of a project that is known here .*its entries are generator/a"),
    ([str(FOLDER / "rosinality_zip.pt"), "--as", "photo2cartoon"], "no network of photo2cartoon but of stylegan2"),
    ([str(FOLDER / "nvlabs.pkl"), "--part", "H"], "has no part 'H': use --part D or G or G_ema"),
    ([str(FOLDER / "cyclegan_unet.pth"), "--part", "G"], "has no part 'G'"),
    ([str(FOLDER / "rosinality_zip.pt"), "--upsample-align", "asymmetric"], "cannot build.*upsample_align"),
])
def test_a_wrong_command_is_one_line(tmp_path, capsys, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["zoo", "import", *arguments, "-o", "out.safetensors"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1
    import re
    assert re.search(reason, err)
    assert not list(tmp_path.iterdir())


def test_the_target_must_be_called_what_it_is(tmp_path):
    with pytest.raises(OutputError, match="give it that ending"):
        import_file(FOLDER / "nvlabs.pkl", tmp_path / "out.pt")


def test_zoo_alone_still_lists(capsys):
    assert cli.main(["zoo"]) == 0
    out = capsys.readouterr().out
    assert "animeganv2/face_paint_512_v2" in out and "nothing is stated about the weights" in out


def test_widths_that_follow_no_rule_are_refused(tmp_path):
    state = shapes.stylegan2_state(shapes.rosinality_generator({4: 8, 8: 4, 16: 8}, 6, 2))
    from ppgan_apps.foreign import stylegan2_rosinality
    with pytest.raises(WeightsError, match="8 at 4, 4 at 8, 8 at 16 pixels"):
        stylegan2_rosinality.convert(state, "")


def test_missing_and_unexpected_entries_are_named():
    state = shapes.random_state(shapes.animegan2_pytorch())
    state["block_z.0.1.weight"] = state.pop("block_d.1.2.bias")
    with pytest.raises(WeightsError, match=r"1 missing \(block_d.1.2.bias\); 1 unexpected "
                                           r"\(block_z.0.1.weight\)"):
        animegan2_pytorch.convert(state, "")
