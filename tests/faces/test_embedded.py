"""The embedded face networks in ONNX Runtime and in Paddle: equal, kept, and found again without Paddle."""
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ppgan_apps import runtime
from ppgan_apps.faces import embedded, landmarks

NETWORKS = [(landmarks.NETWORKS_FILE, "landmarks:LandmarkNet", "first", 1),
            (landmarks.NETWORKS_FILE, "landmarks:LandmarkNet", "careful", 1),
            ("faces-segmenter.safetensors", "segmentation:PortraitSegmenter", "", 3)]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PPGAN_APPS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PPGAN_APPS_ENGINE")
    return tmp_path / "home"


@pytest.mark.parametrize("file, entry, part, channels", NETWORKS)
def test_both_engines_answer_the_same_for_one_picture_and_for_several(file, entry, part, channels, home, monkeypatch):
    pytest.importorskip("onnxruntime")
    fast = embedded.open_network(embedded.FOLDER / file, entry, part)
    monkeypatch.setenv("PPGAN_APPS_ENGINE", "paddle")
    plain = embedded.open_network(embedded.FOLDER / file, entry, part)
    assert (fast.engine, plain.engine) == ("onnx", "paddle") and fast.side == plain.side
    for count in (1, 2, 3):
        pictures = np.random.RandomState(count).uniform(-1, 1, (count, channels, fast.side, fast.side))
        pictures = pictures.astype(np.float32)
        for one, other in zip(fast.run(pictures), plain.run(pictures), strict=True):
            assert np.abs(one - other).max() < 1e-4 * np.abs(other).max()


def test_a_cache_that_cannot_be_written_leaves_paddle(home):
    home.write_text("no folder")
    file, entry, part, _ = NETWORKS[0]
    assert embedded.open_network(embedded.FOLDER / file, entry, part).engine == "paddle"


def test_the_second_process_finds_and_cuts_out_a_face_without_paddle(home):
    """Its import takes a second and 200 MB."""
    pytest.importorskip("onnxruntime")
    script = ("import sys, skimage.data, ppgan_apps.faces as faces; image = skimage.data.astronaut(); "
              "face = faces.detect(image)[0]; crop = faces.prepare_face(image, face); "
              "print(*face.landmarks.mean(0).round(), crop.mask.mean().round(3), 'paddle' in sys.modules)")
    first, second = (subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True,
                                    cwd=Path(__file__).parents[2]).stdout.split()[-4:] for _ in range(2))
    assert first[:3] == second[:3] and 200 < float(second[0]) < 250 and 0.3 < float(second[2]) < 0.8
    assert first[3] == "True" and (second[3] == "False" or runtime.has_gpu_build())
