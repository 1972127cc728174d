"""tools/plot_log.py: the averages, a picture, and sentences for logs that are none."""
import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import plot_log

from ppgan_apps import images


def test_averages_are_those_of_the_window():
    values = np.array([1.0, np.nan, 3.0, 5.0, 9.0])
    assert plot_log.averaged(values, 3).tolist() == [1.0, 1.0, 2.0, 4.0, pytest.approx(17 / 3)]


def test_a_picture_with_a_curve_for_each_loss(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    rows = [{"step": step, "D": 1.0 / step, "G": -step, "seconds": step} for step in range(1, 60)]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert plot_log.main([str(tmp_path)]) == 0
    both = images.read_image(tmp_path / "log.png")
    assert plot_log.main([str(tmp_path), "--only", "D", "-o", str(tmp_path / "d.png")]) == 0
    assert both.shape[1] > 1.8 * images.read_image(tmp_path / "d.png").shape[1] and both.std() > 5
    assert plot_log.main([str(tmp_path)]) == 2 and "--overwrite" in capsys.readouterr().err
    assert plot_log.main([str(tmp_path), "--overwrite", "--only", "F"]) == 2
    assert "it has D, G" in capsys.readouterr().err


@pytest.mark.parametrize("text", [None, "no json", "[1]", '{"loss": 1}', '{"step": 1, "seconds": 2}'])
def test_what_is_no_log_is_refused(tmp_path, capsys, text):
    if text is not None:
        (tmp_path / "log.jsonl").write_text(text)
    assert plot_log.main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "log.jsonl" in error and "Traceback" not in error
    assert not (tmp_path / "log.png").exists()
