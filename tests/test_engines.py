"""Engines: the pictures of each are Paddle's, exported networks are made once and refused when they differ."""
import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tiny_weights

import ppgan_apps
from ppgan_apps import cli, doctor, engine_cache, engine_speed, engines, export, runtime
from ppgan_apps import weights as weights_module
from ppgan_apps.errors import ConfigError, ExportError, MissingExtra
from ppgan_apps.images import read_image, write_image
from ppgan_apps.networks.animeganv2 import AnimeGANv2Generator

pytest.importorskip("onnx")

INSTALLED = [name for name in engines.PACKAGES if engines.installed(name)]
PREDICTORS = {"animeganv2": "AnimeGANv2Predictor", "anime2real": "Anime2RealPredictor",
              "photo2cartoon": "Photo2CartoonPredictor"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_weights.write_all(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def portrait():
    import skimage.data
    return np.ascontiguousarray(skimage.data.astronaut()[::2, ::2])


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PPGAN_APPS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def networks(home):
    """The exported networks, without their parts for tiles."""
    return [path for path in home.rglob("*.onnx") if "-" not in path.stem]


def levels(one, other):
    return np.abs(one.astype(int) - other)


# ---- Which

def test_the_command_line_knows_the_engines():
    assert cli.ENGINES == engines.ENGINES


def test_auto_is_paddle_on_a_gpu_and_the_first_installed_on_a_processor(monkeypatch):
    monkeypatch.delenv("PPGAN_APPS_ENGINE")
    assert engines.choose("auto", "gpu:0") == ["paddle"]
    assert engines.choose("auto", "cpu") == [*INSTALLED, "paddle"]
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    assert engines.choose("auto", "cpu") == ["paddle"]


def test_the_environment_decides_what_auto_is_and_no_more(monkeypatch):
    monkeypatch.setenv("PPGAN_APPS_ENGINE", "onnx")
    assert engines.choose("auto") == ["onnx"] and engines.choose("paddle") == ["paddle"]
    monkeypatch.setenv("PPGAN_APPS_ENGINE", "fast")
    with pytest.raises(ConfigError, match="'fast' in PPGAN_APPS_ENGINE"):
        engines.choose()
    with pytest.raises(ConfigError, match="processor"):
        engines.choose("onnx", "gpu:0")


# ---- Pictures

@pytest.mark.parametrize("engine", INSTALLED)
@pytest.mark.parametrize("name", PREDICTORS)
def test_pictures_are_paddles(name, engine, tiny, portrait, home, capsys):
    make = getattr(ppgan_apps, PREDICTORS[name])
    # An untrained Photo2Cartoon makes rounding errors large.
    weights = {"style": "embedded"} if name == "photo2cartoon" else {"weight_path": tiny[name]}
    wanted = make(**weights, engine="paddle").predict(portrait)
    predictor = make(**weights, engine=engine)
    assert predictor.engine == engine and f"engine: {engine}" in capsys.readouterr().err
    different = levels(predictor.predict(portrait), wanted)
    # Photo2Cartoon's layer norms are summed inexactly by Paddle: see export_forms.exact_moments.
    assert wanted.std() > 1 and (different <= 1).mean() > 0.999 and different.max() <= 3


@pytest.mark.parametrize("engine", INSTALLED)
def test_sizes_and_batches_are_free(engine, home):
    network = AnimeGANv2Generator(lite=True)
    opened = engine_cache.accelerated(network, engine)
    for shape in ((1, 3, 32, 64), (3, 3, 52, 36)):
        x = np.random.RandomState(1).uniform(-1, 1, shape).astype(np.float32)
        wanted = export.eager(export.describe(network), [x])[0]
        found = opened(x)[0]
        assert found.shape == wanted.shape and np.abs(found - wanted).max() < 1e-3


@pytest.mark.parametrize("arguments", [
    {"skip": True, "padding_type": "reflect", "upsample_align": "align_corners"},
    {"skip": True, "padding_type": "reflect", "upsample_align": "asymmetric", "epsilon": 1e-12},
])
def test_the_graphs_of_other_projects_weights_are_exported_too(arguments, home):
    opened = engine_cache.accelerated(AnimeGANv2Generator(**arguments), INSTALLED[-1])
    record = next(home.rglob("*.json"))
    assert json.loads(record.read_text())["difference"] < 1e-4 and opened.path.is_file()


@pytest.mark.parametrize("engine", INSTALLED)
def test_stylegan2_draws_samples_mixtures_walks_and_sheets(engine, tiny, tmp_path, home):
    own, other = (ppgan_apps.StyleGAN2Predictor(tmp_path / name, tiny["styleganv2"], seed=5, engine=name)
                  for name in ("paddle", engine))
    assert other.engine == engine
    pairs = [*zip(own.sample(2, truncation=1.0), other.sample(2, truncation=1.0), strict=True),
             *zip(own.run(2, 2), other.run(2, 2), strict=True),
             *zip(own.mix([1], [2])[1], other.mix([1], [2])[1], strict=True),
             *zip(own.walk([1, 2], 3), other.walk([1, 2], 3), strict=True)]
    assert all(levels(one, two).max() <= 1 for one, two in pairs)


def test_a_code_with_noise_of_its_own_is_drawn_with_it(tiny, tmp_path, home):
    from ppgan_apps.predictors.stylegan2 import Code
    own, other = (ppgan_apps.StyleGAN2Predictor(tmp_path, tiny["styleganv2"], seed=5, engine=name)
                  for name in ("paddle", INSTALLED[-1]))
    noise = tuple(np.random.RandomState(index).randn(1, 1, 2 ** ((index + 5) // 2), 2 ** ((index + 5) // 2))
                  .astype(np.float32) for index in range(own.network.num_layers))
    code = Code(own.w_of_seeds([3]), noise)
    assert levels(own.draw_code(code), other.draw_code(code)).max() <= 1


# ---- The fastest

def test_auto_measures_each_engine_once_and_draws_with_the_fastest(tiny, home, monkeypatch, capsys):
    monkeypatch.setenv("PPGAN_APPS_ENGINE", "auto")

    def engine_now():
        return ppgan_apps.AnimeGANv2Predictor(weight_path=tiny["animeganv2"]).engine
    first = engine_now()
    path, = home.rglob("*.speed-*.json")
    record = json.loads(path.read_text())
    assert set(record["seconds"]) == {*INSTALLED, "paddle"} and first == min(record["seconds"],
                                                                            key=record["seconds"].get)
    assert record["input"] == [1, 3, engine_speed.SIDE, engine_speed.SIDE] and min(record["seconds"].values()) > 0
    with monkeypatch.context() as known:                       # what was measured counts, and is not measured again
        known.setattr(engine_speed, "fastest_passes", None)
        for name in (*INSTALLED, "paddle"):
            path.write_text(json.dumps({**record, "seconds": {**record["seconds"], name: 1e-6}}))
            assert engine_now() == name
    capsys.readouterr()
    doctor.run()
    assert "AnimeGANv2Generator 1x3x256x256" in capsys.readouterr().out
    monkeypatch.setenv("OMP_NUM_THREADS", "2")                 # other circumstances
    engine_now()
    assert len(list(home.rglob("*.speed-*.json"))) == 2


def test_a_named_engine_is_not_measured_against_others(tiny, home):
    ppgan_apps.AnimeGANv2Predictor(weight_path=tiny["animeganv2"], engine=INSTALLED[-1])
    assert not engine_speed.records()


def test_passes_take_turns_and_who_is_far_behind_runs_no_more():
    runs, waits = [], {"quick": 0.002, "near": 0.0025, "slow": 0.02}
    passes = {name: lambda name=name: (runs.append(name), time.sleep(waits[name])) for name in waits}
    best = engine_speed.fastest_passes(passes, rounds=4)
    assert runs[:6] == ["quick", "near", "slow"] * 2 and runs.count("slow") == 2 and runs.count("quick") == 4
    assert min(best, key=best.get) == "quick" and all(best[name] >= wait for name, wait in waits.items())
    runs.clear()
    engine_speed.fastest_passes(passes, rounds=100, patience=0.0)
    assert len(runs) == 6                                      # no further round is begun after so long


# ---- The cache

def test_a_network_is_exported_once_and_again_when_its_weights_change(tiny, home, monkeypatch):
    engine = INSTALLED[-1]

    def export_and_count(weights):
        ppgan_apps.AnimeGANv2Predictor(weight_path=weights, engine=engine)
        return len(networks(home))
    assert export_and_count(tiny["animeganv2"]) == 1
    with monkeypatch.context() as without:                     # neither is done again
        without.setattr(export, "onnx_model", None)
        without.setattr(weights_module, "read_weights", None)
        assert export_and_count(tiny["animeganv2"]) == 1
    other = tiny_weights.write(home / "other.safetensors", AnimeGANv2Generator(lite=True))
    assert export_and_count(other) == 2
    network = AnimeGANv2Generator(lite=True)
    before = engine_cache.digest(network)
    parameter = next(iter(network.parameters()))
    parameter.set_value(parameter * 2)
    assert engine_cache.digest(network) != before


def test_a_network_in_the_cache_is_drawn_with_without_paddle(home, tmp_path, portrait):
    """Its import takes a second and 200 MB."""
    ppgan_apps.AnimeGANv2Predictor(style="embedded", engine=INSTALLED[-1])
    write_image(tmp_path / "photo.png", portrait[:96, :96])
    script = ("import sys; from ppgan_apps import cli; code = cli.main(sys.argv[1:]); "
              "sys.exit(code or 'paddle' in sys.modules and 3)")
    done = subprocess.run([sys.executable, "-c", script, "animeganv2", str(tmp_path / "photo.png"), "-o", str(tmp_path),
                           "--style", "embedded", "--engine", INSTALLED[-1], "--device", "cpu"])
    assert done.returncode == (3 if runtime.has_gpu_build() else 0)
    assert read_image(tmp_path / "photo_anime.png").shape == (96, 96, 3)


def test_stylegan2_in_the_cache_draws_seeds_without_paddle_and_edits_with_it(home, tiny, tmp_path):
    """w is made in NumPy; directions are read out of the layers."""
    arguments = {"weight_path": str(tiny["styleganv2"]), "seed": 5, "engine": INSTALLED[-1], "device": "cpu"}
    script = ("import sys, numpy, ppgan_apps; "
              f"predictor = ppgan_apps.StyleGAN2Predictor({str(tmp_path)!r}, **{arguments}); "
              "predictor.run(1, 2); without = 'paddle' in sys.modules; rows = predictor.edit(3, [0], [-2, 2]); "
              f"numpy.save({str(tmp_path / 'rows.npy')!r}, rows); sys.exit(3 if without else 0)")
    own = ppgan_apps.StyleGAN2Predictor(tmp_path, **{**arguments, "engine": "paddle"})
    ppgan_apps.StyleGAN2Predictor(tmp_path, **arguments)       # leaves the network in the cache
    done = subprocess.run([sys.executable, "-c", script])
    assert done.returncode == (3 if runtime.has_gpu_build() else 0)
    assert levels(np.load(tmp_path / "rows.npy"), np.array(own.edit(3, [0], [-2, 2]))).max() <= 1


def test_a_damaged_file_is_made_anew(home):
    network = AnimeGANv2Generator(lite=True)
    path = engine_cache.accelerated(network, INSTALLED[-1]).path
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    engine_cache.accelerated(network, INSTALLED[-1])
    assert path.read_bytes() == whole


def test_two_at_once_make_one_file(home):
    network, opened = AnimeGANv2Generator(lite=True), []
    at_once = [threading.Thread(target=lambda: opened.append(engine_cache.accelerated(network, INSTALLED[-1])))
               for _ in range(2)]
    for thread in at_once:
        thread.start()
    for thread in at_once:
        thread.join()
    assert len(opened) == 2 and len(networks(home)) == 1


def test_what_differs_from_paddle_is_refused_and_paddle_draws(tiny, portrait, home, monkeypatch, capsys):
    engine = INSTALLED[-1]
    monkeypatch.setenv("PPGAN_APPS_ENGINE", "auto")
    monkeypatch.setattr(engines, "PACKAGES", {engine: engines.PACKAGES[engine]})
    monkeypatch.setattr(export, "BOUND", 1e-12)                # no engine rounds as well as that
    for _ in range(2):                                         # the second time it is known without trying
        predictor = ppgan_apps.AnimeGANv2Predictor(weight_path=tiny["animeganv2"])
        said = capsys.readouterr().err
        assert predictor.engine == "paddle" and said.startswith(f"The engine {engine} is left out:")
        assert "engine: paddle" in said and said.count("\n") == 2
        monkeypatch.setattr(export, "compare", None)
    assert predictor.predict(portrait).shape == portrait.shape
    with pytest.raises(ExportError, match="differs"):          # asked for by name
        ppgan_apps.AnimeGANv2Predictor(weight_path=tiny["animeganv2"], engine=engine)


def test_a_missing_package_is_one_sentence_when_asked_for_and_else_paddle(tiny, home, monkeypatch, capsys):
    for package in ("onnx", "onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match="onnx"):
        ppgan_apps.AnimeGANv2Predictor(weight_path=tiny["animeganv2"], engine="onnx")
    monkeypatch.setenv("PPGAN_APPS_ENGINE", "auto")
    monkeypatch.setattr(engines, "installed", lambda name: True)
    assert ppgan_apps.AnimeGANv2Predictor(weight_path=tiny["animeganv2"]).engine == "paddle"
    assert capsys.readouterr().err.count("is left out: ") == 2


def test_a_cache_that_cannot_be_written_leaves_paddle(tiny, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("PPGAN_APPS_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("PPGAN_APPS_ENGINE", "auto")
    assert ppgan_apps.AnimeGANv2Predictor(weight_path=tiny["animeganv2"]).engine == "paddle"
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_exported_weights_keep_the_engine_that_they_bring(tiny, tmp_path):
    pytest.importorskip("onnxruntime")
    assert cli.main(["export", str(tiny["animeganv2"]), "-o", str(tmp_path / "x.onnx")]) == 0
    assert ppgan_apps.AnimeGANv2Predictor(weight_path=tmp_path / "x.onnx").engine == "onnx"
    with pytest.raises(ConfigError, match="engine onnx, not by paddle"):
        ppgan_apps.AnimeGANv2Predictor(weight_path=tmp_path / "x.onnx", engine="paddle")


# ---- The commands

def test_the_command_as_a_user_has_it(tiny, portrait, tmp_path, home):
    """A process of its own with nothing set: the engine draws that was the fastest there."""
    write_image(tmp_path / "photo.png", portrait)
    environment = {name: value for name, value in os.environ.items() if name != "PPGAN_APPS_ENGINE"}
    done = subprocess.run([sys.executable, "-m", "ppgan_apps", "animeganv2", str(tmp_path / "photo.png"), "-o",
                           str(tmp_path), "--weight-path", str(tiny["animeganv2"])], env=environment,
                          capture_output=True, text=True)
    record, = engine_speed.records()
    fastest = min(record["seconds"], key=record["seconds"].get)
    assert done.returncode == 0 and f"engine: {fastest}" in done.stderr and done.stderr.count("\n") == 1
    wanted = ppgan_apps.AnimeGANv2Predictor(weight_path=tiny["animeganv2"], engine="paddle").predict(portrait)
    assert levels(read_image(tmp_path / "photo_anime.png"), wanted).max() <= 1


def test_doctor_says_what_is_used_and_how_to_undo_it(home, capsys, monkeypatch):
    monkeypatch.setenv("FLAGS_use_onednn", "0")
    assert cli.main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"]["ppgan_apps"] == ppgan_apps.__version__ and found["versions"]["numpy"] == np.__version__
    assert found["engine"] == engines.choose()[0] and found["threads"] == engines.threads()
    values = {setting["name"]: setting["value"] for setting in found["settings"]}
    assert values["FLAGS_use_onednn"] == "0" and set(values) == {each.name for each in runtime.settings()}
    assert {record["name"] for record in found["weights"] if record["here"]} >= {"animeganv2/pastel"}
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert all(f"(off: {setting.off})" in text for setting in runtime.settings())
    assert "PPGAN_APPS_TUNE=0" in text and str(home) in text


def test_mkls_path_is_set_on_amd_only(monkeypatch):
    """On Intel it would keep MKL from AVX-512."""
    assert runtime.is_amd("vendor_id\t: AuthenticAMD") and not runtime.is_amd("vendor_id\t: GenuineIntel")
    for amd in (True, False):
        monkeypatch.setattr(runtime, "is_amd", lambda amd=amd: amd)
        assert ("MKL_DEBUG_CPU_TYPE" in {each.name for each in runtime.settings()}) == amd


def test_doctor_without_tuning(monkeypatch):
    monkeypatch.setenv("PPGAN_APPS_TUNE", "0")
    for setting in runtime.settings():
        monkeypatch.delenv(setting.name, raising=False)
    assert {setting["value"] for setting in doctor.examine()["settings"]} == {None}


@pytest.mark.parametrize("tuned", ["1", "0"])
def test_onnx_runtime_reports_nothing(tmp_path, tuned):
    """Its telemetry leaves a session's file in the temporary folder when it is on."""
    pytest.importorskip("onnxruntime")
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PPGAN_APPS_TUNE": tuned}
    environment.pop(runtime.NO_TELEMETRY.name, None)
    subprocess.run([sys.executable, "-c", "import ppgan_apps, onnxruntime"], check=True, env=environment)
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".ses", ".db")] == []
