"""Training through the real command: four families, killed and resumed, equal to an unbroken run."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ppgan_apps import checkpoints, config, images, trainer
from ppgan_apps.errors import ConfigError, Diverged, OutputError, WeightsError
from ppgan_apps.weights import read_metadata, read_weights, resolve

ROOT = Path(__file__).parent.parent

# The smallest run of each family that still goes through every term of its loss, and where its data stands. A YAML
# whose data or network differ from its family's others is named itself.
_DCGAN = "data.size=16 recipe.width=4 recipe.latent_dim=8 batch_size=2"
_STYLEGAN2 = ("data.size=16 recipe.style_dim=8 recipe.channel_max=8 recipe.n_mlp=2 recipe.r1_every=2 "
              "recipe.path_every=2 batch_size=2")
# The six steps: two of 4 px; 8 px fading in twice, the run being resumed in between; 16 px fading in twice.
_GROWING = ("data.size=16 recipe.start_size=4 recipe.stable_kimages=[0.004,0] recipe.fade_kimages=[0.004] "
            "recipe.channel_max=8 batch_size=2")
SMALL = {
    "gan": "recipe.g_width=8 recipe.d_width=4 batch_size=2",
    "dcgan": _DCGAN,
    "dcgan_avatars": "recipe.width=2 batch_size=2",
    "dcgan_avatars_96": "recipe.width=2 batch_size=2",
    "embedded_dcgan": "start= recipe.width=2 batch_size=2",
    "lsgan": _DCGAN,
    "wgan": _DCGAN + " recipe.critic_steps=2",
    "wgan_gp": _DCGAN + " recipe.critic_steps=2",
    "cgan": _DCGAN,
    "photo2cartoon": "data.size=32 data.load_size=34 recipe.ngf=4 recipe.ndf=4 recipe.global_layers=4 "
                     "recipe.local_layers=3 recipe.face_id_weight=0 batch_size=1",
    "photo2cartoon_groups": "groups=[hair] grouping.steps=[1] grouping.least=1 data.size=32 data.load_size=34 "
                            "recipe.ngf=4 recipe.ndf=4 recipe.global_layers=4 recipe.local_layers=3 batch_size=1",
    "pix2pix": "recipe.start= data.size=32 data.load_size=34 recipe.ngf=4 recipe.ndf=4 recipe.num_downs=5 "
               "recipe.n_layers=2 batch_size=2",
    "animeganv2": "data.size=32 recipe.lite=true recipe.warmup_steps=1 recipe.vgg_weights=random "
                  "recipe.features=conv2_2 batch_size=2",
    "animegan": "data.size=32 recipe.channel=4 recipe.n_blocks=1 recipe.warmup_steps=1 recipe.frozen_weights=random "
                "recipe.features=conv2_2 recipe.discriminator_dropout=0.5 batch_size=2",
    "cartoongan": "data.size=32 recipe.ngf=4 recipe.ndf=4 recipe.n_blocks=1 recipe.warmup_steps=1 "
                  "recipe.vgg_weights=random recipe.features=conv2_2 batch_size=2",
    "cyclegan": "data.size=32 data.load_size=34 recipe.ngf=4 recipe.n_blocks=1 recipe.ndf=4 recipe.n_layers=2 "
                "recipe.pool_size=2 batch_size=1",
    "ugatit": "data.size=32 data.load_size=34 recipe.ngf=4 recipe.n_blocks=1 recipe.ndf=4 recipe.global_layers=4 "
              "recipe.local_layers=3 batch_size=1",
    "stylegan2": _STYLEGAN2,
    "stylegan2_avatars_128": _STYLEGAN2 + " recipe.start=",
    "stylegan2_finetune": _STYLEGAN2 + " recipe.start= recipe.ada_images=20 recipe.ada_target=-0.99",
    "stylegan2_attributes": "data.columns=[hair] data.size=16 recipe.style_dim=8 recipe.channel_max=8 recipe.n_mlp=2 "
                            "recipe.start= batch_size=2",
    "pggan": _GROWING + " recipe.latent_dim=8",
    "stylegan": _GROWING + " recipe.style_dim=8 recipe.n_mlp=2 recipe.noise=true",
}
FOLDERS = {"photo2cartoon": {"path_a": "photo", "path_b": "style"}, "pix2pix": {"path": "pairs"},
           "animeganv2": {"photo": "photo", "style": "style", "smooth": "smooth"}, "stylegan2": {"path": "photo"},
           "stylegan2_attributes": {"path": "photo"}, "pggan": {"path": "photo"}, "stylegan": {"path": "photo"},
           **dict.fromkeys(["cyclegan", "ugatit"], {"path_a": "photo", "path_b": "style"}),
           **dict.fromkeys(["animegan", "cartoongan"], {"photo": "photo", "style": "style", "smooth": "smooth"}),
           **dict.fromkeys(["gan", "dcgan", "lsgan", "wgan", "cgan"], {"path": "mnist"}),
           **dict.fromkeys(["gan_avatars", "dcgan_avatars", "dcgan_avatars_32", "dcgan_avatars_96", "embedded_dcgan",
                            "lsgan_avatars", "wgan_avatars", "wgan_gp", "cgan_avatars"], {"path": "photo"})}
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Folders of small pictures, photo, style, smooth and pairs: of portraits where the checkout has them."""
    root = tmp_path_factory.mktemp("data")
    shared = Path(os.environ.get("PPGAN_APPS_SHARED", ROOT.parent / "shared")) / "data" / "portraits" / "female"
    real = sorted(shared.glob("*.jpg"))[:6] if shared.is_dir() else []
    for index in range(6):
        photo = images.resize(images.read_image(real[index]), (48, 48)) if real else \
            grainy_picture(index)
        flat = (photo // 64) * 64 + 32
        smooth = images.resize(images.resize(flat, (16, 16)), (48, 48))
        pictures = {"photo": photo, "style": flat, "smooth": smooth, "pairs": np.hstack([photo, flat])}
        for name, picture in pictures.items():
            images.write_image(root / name / f"{index}.png", picture)
    rows = [{"file": f"{index}.png", "hair": ("long", "short")[index % 2]} for index in range(6)]
    (root / "photo" / "attributes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_mnist(root / "mnist", np.random.default_rng(1).integers(0, 256, (6, 28, 28)), [0, 1, 2, 0, 1, 2])
    return root


def grainy_picture(seed):
    """A 48 px picture of soft colours with grain: where it is even, a norm over a layer would scale rounding up."""
    random = np.random.default_rng(seed)
    soft = images.resize(random.integers(0, 256, (6, 6, 3), np.uint8), (48, 48))
    return np.clip(soft + random.normal(0, 25, soft.shape), 0, 255).astype(np.uint8)


def write_mnist(folder, pictures, labels):
    """Two files in MNIST's format."""
    folder.mkdir()
    for name, values in (("train-images-idx3-ubyte", pictures), ("train-labels-idx1-ubyte", labels)):
        values = np.asarray(values, np.uint8)
        header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
        (folder / name).write_bytes(header + values.tobytes())


def overrides(name, folders, output, steps):
    family = config.load_run(ROOT / "configs" / f"{name}.yaml").family
    paths = [f"data.{key}={folders / folder}" for key, folder in FOLDERS.get(name, FOLDERS[family]).items()]
    return [*SMALL.get(name, SMALL[family]).split(), *paths, f"output={output}", f"steps={steps}", "log_every=1",
            "checkpoint_every=1", "keep_checkpoints=9", "preview_every=2"]


def run_of(name, folders, output, steps, *more):
    return config.load_run(ROOT / "configs" / f"{name}.yaml", [*overrides(name, folders, output, steps), *more])


def command(name, folders, output, steps, *more):
    return [sys.executable, str(ROOT / "tools" / "main.py"), "--config-file", str(ROOT / "configs" / f"{name}.yaml"),
            "-o", *overrides(name, folders, output, steps), *more]


def log_of(output):
    lines = [json.loads(line) for line in (Path(output) / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def assert_equal_checkpoints(first, second):
    names = sorted(path.name for path in first.glob("*.safetensors"))
    assert names == sorted(path.name for path in second.glob("*.safetensors")) and len(names) >= 2
    for name in names:
        one, other = read_weights(first / name), read_weights(second / name)
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=f"{name} {key}")


@pytest.fixture(scope="session")
def whole_run(folders, tmp_path_factory):
    """The output folder of an unbroken run of six steps, by name of the YAML, trained once."""
    done = {}

    def train(name):
        if name not in done:
            done[name] = tmp_path_factory.mktemp(name) / "whole"
            trainer.train(run_of(name, folders, done[name], 6))
        return done[name]
    return train


@pytest.mark.parametrize("name", CONFIGS)
def test_every_yaml_resumes_bit_for_bit(name, folders, whole_run, tmp_path):
    whole = whole_run(name)
    shutil.copytree(checkpoints.checkpoint_folder(whole, 3), checkpoints.checkpoint_folder(tmp_path, 3))
    shutil.copy(whole / "log.jsonl", tmp_path)
    last = trainer.train(run_of(name, folders, tmp_path, 6), "auto")
    assert resolve(last).parent == checkpoints.checkpoint_folder(tmp_path, 6)
    assert_equal_checkpoints(resolve(last).parent, checkpoints.checkpoint_folder(whole, 6))
    assert log_of(tmp_path) == log_of(whole) and [line["step"] for line in log_of(whole)] == [1, 2, 3, 4, 5, 6]
    assert images.read_image(whole / "previews" / "step_00000006.png").shape[2] == 3


@pytest.mark.parametrize("name", ["ugatit_photo2cartoon", "pix2pix_anime2real", "animeganv2", "stylegan2_avatars"])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(name, folders, whole_run, tmp_path):
    output = tmp_path / "run"
    process = subprocess.Popen(command(name, folders, output, 6), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for(lambda: checkpoints.checkpoints(output), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (output / "checkpoints" / ".writing_leftover").mkdir()                     # as a kill while writing leaves it
    done = subprocess.run(command(name, folders, output, 6, "--resume", "auto"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    whole = whole_run(name)
    assert_equal_checkpoints(checkpoints.checkpoint_folder(output, 6), checkpoints.checkpoint_folder(whole, 6))
    assert log_of(output) == log_of(whole)


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None or condition(), "the run ended too early"
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_ends_cleanly(number, folders, tmp_path):
    output = tmp_path / "run"
    arguments = [*command("stylegan2_avatars", folders, output, 100_000), "checkpoint_every=100000", "preview_every=0"]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: (output / "log.jsonl").is_file() and log_of(output), process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and "--resume auto" in errors and "Traceback" not in errors
    assert log_of(output)[-1]["step"] == checkpoints.read_meta(checkpoints.checkpoints(output)[-1])["step"]


def test_a_second_run_into_the_same_folder_is_refused_and_another_family_too(folders, whole_run):
    output = whole_run("stylegan2_avatars")
    with pytest.raises(OutputError, match="already holds a run"):
        trainer.train(run_of("stylegan2_avatars", folders, output, 4))
    with pytest.raises(ConfigError, match="a checkpoint of 'stylegan2', not of 'pix2pix'"):
        trainer.train(run_of("pix2pix_anime2real", folders, output, 4), "auto")


def test_a_checkpoint_of_another_width_is_refused(folders, whole_run):
    run = run_of("stylegan2_avatars", folders, whole_run("stylegan2_avatars"), 6, "recipe.channel_max=4")
    with pytest.raises(WeightsError):
        trainer.train(run, "auto")
    with pytest.raises(WeightsError, match="no checkpoint"):
        trainer.train(run, str(folders))


def test_pix2pix_starts_from_weights_and_refuses_those_of_another_network(folders, whole_run, tmp_path):
    first = checkpoints.checkpoint_folder(whole_run("pix2pix_anime2real"), 6)
    start = f"recipe.start={first}"
    step = trainer.train(run_of("pix2pix_anime2real", folders, tmp_path / "fine", 1, start, "recipe.lr=0"))
    np.testing.assert_array_equal(*(read_weights(folder / "G.safetensors")["model.model.0.weight"]
                                    for folder in (first, step)))
    with pytest.raises(WeightsError, match="does not fit"):
        trainer.train(run_of("pix2pix_anime2real", folders, tmp_path / "other", 1, start, "recipe.ngf=2"))


def test_an_average_that_the_other_run_did_not_have_begins_as_what_it_averages(folders, whole_run, tmp_path):
    first = checkpoints.checkpoint_folder(whole_run("dcgan_avatars_96"), 6)
    step = trainer.train(run_of("embedded_dcgan", folders, tmp_path, 1, f"start={first}", "recipe.lr=0"))
    name = "layers.0.weight"
    wanted = read_weights(first / "G.safetensors")[name]
    assert np.array_equal(read_weights(step / "G_ema.safetensors")[name], wanted) and wanted.std() > 0
    (first / "G.safetensors").rename(first / "other.safetensors")
    with pytest.raises(WeightsError):
        trainer.train(run_of("embedded_dcgan", folders, tmp_path / "none", 1, f"start={first}"))
    (first / "other.safetensors").rename(first / "G.safetensors")


def test_old_checkpoints_are_removed(folders, tmp_path):
    trainer.train(run_of("stylegan2_avatars", folders, tmp_path, 3, "keep_checkpoints=2"))
    assert [path.name for path in checkpoints.checkpoints(tmp_path)] == ["step_00000002", "step_00000003"]
    assert config.load_run(checkpoints.checkpoint_folder(tmp_path, 3) / "config.yaml").recipe.channel_max == 8


def test_the_delivered_file_says_how_to_rebuild_its_network(whole_run):
    path = checkpoints.checkpoint_folder(whole_run("stylegan2_avatars"), 6) / "G_ema.safetensors"
    metadata = read_metadata(path)
    assert metadata["family"] == "stylegan2" and metadata["step"] == 6 and len(metadata["w_mean"]) == 8
    assert metadata["network"]["size"] == 16 and metadata["network"]["channel_max"] == 8


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_last_good_checkpoint(folders, whole_run, tmp_path):
    run = run_of("pix2pix_anime2real", folders, tmp_path, 60, "recipe.lr=1e30")
    with pytest.raises(Diverged, match=r"The loss \w+ is (nan|inf) at step 1; none is saved yet"):
        trainer.train(run)
    good = checkpoints.checkpoint_folder(whole_run("pix2pix_anime2real"), 2)
    with pytest.raises(Diverged, match=r"The loss \w+ is (nan|inf) at step 3; the last good checkpoint is .*00000002"):
        trainer.train(run, str(good))


@pytest.mark.parametrize("arguments, part", [
    (["--config-file", "none.yaml"], "none.yaml does not exist"),
    (["--config-file", "configs/animeganv2.yaml", "-o", "recipe.lites=1"], "did you mean 'lite'"),
    (["--config-file", "configs/animeganv2.yaml", "-o", "data.photo=nowhere"], "nowhere does not exist"),
    (["--config-file", "configs/stylegan2_avatars.yaml", "--device", "gpu"], "no GPU"),
])
def test_what_the_user_got_wrong_is_one_line_and_status_two(arguments, part, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert trainer.main(arguments) == 2
    errors = capsys.readouterr().err.strip()
    assert errors.startswith("error: ") and part in errors and "\n" not in errors


def test_dry_run_shows_the_settings_and_trains_nothing(folders, tmp_path, capsys):
    arguments = ["--config-file", str(ROOT / "configs" / "stylegan2_avatars.yaml"), "--dry-run", "-o",
                 *overrides("stylegan2_avatars", folders, tmp_path / "out", 4)]
    assert trainer.main(arguments) == 0
    shown = capsys.readouterr().out
    assert "# 6 samples" in shown and "# G: " in shown and "channel_max: 8" in shown and not (tmp_path / "out").exists()


def test_loss_scales_are_part_of_a_checkpoint_and_start_anew_in_one_without(folders, whole_run, tmp_path):
    import paddle
    run = run_of("stylegan2_avatars", folders, tmp_path, 4)
    states = []
    for folder in (None, tmp_path / "checkpoints" / "step_00000001",
                   checkpoints.checkpoint_folder(whole_run("stylegan2_avatars"), 2)):
        with paddle.utils.unique_name.guard():
            recipe = config.recipe_class("stylegan2")(run)
            trainer._scale_losses(recipe)                      # as in float16, which needs a GPU
            if folder is None:
                recipe.opt_G.loss_scale.state.set_value(paddle.to_tensor([64.0, 7.0]))
                checkpoints.save_checkpoint(recipe, run, 1)
            else:
                checkpoints.load_checkpoint(recipe, folder)
        states.append([optimizer.loss_scale.state.tolist() for optimizer in (recipe.opt_G, recipe.opt_D)])
    fresh = [2.0**15, 0.0]
    assert states == [[[64.0, 7.0], fresh], [[64.0, 7.0], fresh], [fresh, fresh]]
