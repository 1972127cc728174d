"""benchmarks/animegan_table.py: what it counts equals sums worked out by hand, for Paddle's layers and ONNX files."""
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle.nn as nn

from benchmarks import animegan_table as table
from benchmarks import compare_engines as compared
from benchmarks import compare_training as training
from benchmarks import network_share
from benchmarks.report import replace_section
from ppgan_apps.errors import ConfigError, MissingExtra, WeightsError
from ppgan_apps.networks import layers
from ppgan_apps.networks.cartoongan import CartoonGANGenerator

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "benchmarks" / "animegan_table.py"


def macs(network, *shape):
    import paddle
    return table.paddle_macs(network, paddle.zeros(shape))


# Paddle

@pytest.mark.parametrize("layer, shape, expected", [
    (lambda: nn.Conv2D(3, 8, 3), [1, 3, 10, 7], 8 * (8 * 5) * 3 * 9),
    (lambda: nn.Conv2D(4, 6, (1, 5), stride=2, padding=2, groups=2), [1, 4, 8, 8], 6 * (6 * 4) * 2 * 5),
    (lambda: layers.BiasedConv2D(3, 8, 3, padding=1), [1, 3, 4, 4], 8 * 16 * 3 * 9),
    (lambda: layers.convolution(6, 6, 3, groups=6), [1, 6, 5, 5], 6 * 9 * 9),
    (lambda: nn.Conv2DTranspose(4, 2, 3, stride=2, padding=1, output_padding=1), [1, 4, 5, 5], 4 * 25 * 2 * 9),
    (lambda: layers.transposed_convolution(4, 2, 4, 2, 1), [1, 4, 3, 3], 4 * 9 * 2 * 16),
    (lambda: nn.Linear(7, 5), [3, 7], 3 * 7 * 5),
    (lambda: nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 2)), [1, 7], 7 * 5 + 5 * 2),
    (lambda: nn.Sequential(nn.InstanceNorm2D(3), nn.GroupNorm(1, 3), layers.ReflectionPad(1)), [1, 3, 4, 4], 0),
], ids=["conv", "grouped", "biased", "depthwise", "transposed", "biased_transposed", "linear", "chain", "norms"])
def test_layers_multiply_as_often_as_by_hand(layer, shape, expected):
    assert macs(layer(), *shape) == expected


def test_a_layer_used_twice_counts_twice():
    linear = nn.Linear(3, 3)
    assert macs(nn.Sequential(linear, linear), 1, 3) == 2 * 9


def test_cartoongans_generator_counts_what_its_figure_says():
    """16 x 16 pixels, 4 maps at full size, one residual block."""
    down = 256 * 4 * 3 * 49 + 64 * 8 * (4 + 8) * 9 + 16 * 16 * (8 + 16) * 9
    block = 2 * 16 * 16 * 16 * 9
    up = 16 * 16 * 8 * 9 + 64 * 8 * 8 * 9 + 64 * 8 * 4 * 9 + 256 * 4 * 4 * 9 + 256 * 3 * 4 * 49
    assert macs(CartoonGANGenerator(ngf=4, n_blocks=1), 1, 3, 16, 16) == down + block + up


def test_a_layer_without_a_rule_is_refused_not_taken_for_free():
    with pytest.raises(ConfigError, match="SpectralConv2D"):
        macs(layers.SpectralConv2D(3, 4, 3), 1, 3, 8, 8)


def test_a_networks_size_is_that_of_its_file():
    network = nn.Linear(10, 100)
    numbers = 10 * 100 + 100
    assert 4 * numbers < table.file_size(network) < 4 * numbers + 300              # and a header
    assert table.measure_paddle("animegan", nn.Conv2D(3, 4, 1)).parameters == 3 * 4 + 4


# ONNX

@pytest.fixture
def onnx():
    pytest.importorskip("onnxruntime", reason="needs onnxruntime (pip install '.[test]')")
    return pytest.importorskip("onnx", reason="needs onnx (pip install '.[test]')")


def save(onnx, path, nodes, shape, rank, **weights):
    """An ONNX file of `nodes` from one picture `x` of `shape` to `y`, in a form that old versions read too."""
    helper = onnx.helper
    graph = helper.make_graph(
        nodes, "network", [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None] * rank)],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def random(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype("float32")


@pytest.fixture
def channels_last(onnx, tmp_path):
    """A file as TensorFlow's exports are: channels last, free sizes, transposed for each convolution, and resized to
    sizes that the graph computes itself."""
    node = onnx.helper.make_node
    nodes = [
        node("Transpose", ["x"], ["x_first"], perm=[0, 3, 1, 2]),
        node("Conv", ["x_first", "w1", "b1"], ["c1"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"]),
        node("ConvTranspose", ["r1", "w2"], ["c2"], strides=[2, 2]),
        node("Shape", ["c2"], ["shape"]),
        node("Slice", ["shape", "zero", "two"], ["outer"]),
        node("Slice", ["shape", "two", "four"], ["inner"]),
        node("Mul", ["inner", "two"], ["doubled"]),
        node("Concat", ["outer", "doubled"], ["sizes"], axis=0),
        node("Resize", ["c2", "", "", "sizes"], ["large"], mode="nearest"),
        node("Conv", ["large", "w3"], ["c3"], pads=[1, 1, 1, 1]),
        node("Transpose", ["c3"], ["last"], perm=[0, 2, 3, 1]),
        node("MatMul", ["last", "w4"], ["y"]),
    ]
    return save(onnx, tmp_path / "last.onnx", nodes, [None, None, None, 3], 4, w1=random(4, 3, 3, 3), b1=random(4),
                w2=random(4, 2, 2, 2), w3=random(5, 2, 3, 3), w4=random(5, 3), zero=np.array([0]), two=np.array([2]),
                four=np.array([4]))


def test_a_file_with_channels_last_and_free_sizes_counts_right_and_runs(channels_last):
    measured = table.measure_onnx("tiny", channels_last)
    side = table.SIZE
    expected = ((side // 2) ** 2 * 4 * 3 * 9                   # a convolution of stride 2
                + (side // 2) ** 2 * 4 * 2 * 4                 # a transposed one, by its input
                + (2 * side) ** 2 * 5 * 2 * 9 + (2 * side) ** 2 * 5 * 3)           # after the doubling
    assert measured.macs == expected and measured.pixels == (side, side)
    assert measured.parameters == 4 * 3 * 9 + 4 + 4 * 2 * 4 + 5 * 2 * 9 + 5 * 3    # whole numbers are no parameters
    assert measured.size == channels_last.stat().st_size
    output, = measured.run()
    assert output.shape == (1, 2 * side, 2 * side, 3) and np.ptp(output) > 0


def test_a_file_with_channels_first_and_a_fixed_size_keeps_it(onnx, tmp_path):
    node = onnx.helper.make_node
    constant = onnx.numpy_helper.from_array(random(7, 6), "value")
    nodes = [
        node("Conv", ["x", "w"], ["c"], group=3),
        node("GlobalAveragePool", ["c"], ["mean"]),
        node("Flatten", ["mean"], ["flat"]),
        node("Constant", [], ["matrix"], value=constant),
        node("Gemm", ["flat", "matrix"], ["y"], transB=1),
    ]
    file = save(onnx, tmp_path / "first.onnx", nodes, [1, 3, 6, 8], 2, w=random(6, 1, 3, 3))
    measured = table.measure_onnx("tiny", file)
    assert measured.macs == 6 * (4 * 6) * 9 + 6 * 7 and measured.pixels == (6, 8)
    assert measured.parameters == 6 * 9 + 7 * 6
    assert measured.run()[0].shape == (1, 7)
    assert "at 8 x 6" in table.cells(measured, [0.5])[3]


def test_a_transposed_first_factor_is_seen(onnx):
    node = onnx.helper.make_node("Gemm", ["a", "b"], ["y"], transA=1)
    assert table.node_macs(node, (6, 2), (6, 7), (2, 7)) == 2 * 7 * 6


def test_files_that_do_not_fit_get_one_sentence(onnx, tmp_path):
    text = tmp_path / "text.onnx"
    text.write_text("no network")
    relu = onnx.helper.make_node("Relu", ["x"], ["y"])
    grey = save(onnx, tmp_path / "grey.onnx", [relu], [1, 1, 8, 8], 4)
    missing = tmp_path / "missing.onnx"
    for file, part in ((missing, "does not exist"), (text, "no readable ONNX file"), (grey, r"\[1, 1, 8, 8\]")):
        with pytest.raises(WeightsError, match=part):
            table.measure_onnx("tiny", file)
    nodes = [onnx.helper.make_node("Einsum", ["x", "x"], ["y"], equation="nchw,nchw->nc")]
    with pytest.raises(ConfigError, match="Einsum"):
        table.measure_onnx("tiny", save(onnx, tmp_path / "einsum.onnx", nodes, [1, 3, 8, 8], 2))
    with pytest.raises(ConfigError, match="NAME=FILE"):
        table.name_and_file("file.onnx")


def test_without_onnx_one_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)             # as Python itself marks what cannot be imported
    with pytest.raises(MissingExtra, match=r"\[bench\]"):
        table.onnx_packages()


# Engines

def test_the_engines_table_compares_medians_and_leaves_out_who_did_not_run():
    made = {"animeganv2-256": {"paddlegan": compared.Measured([4.0, 2.0, 3.0], 900.4),
                               "paddle": compared.Measured([1.0], 700),
                               "auto": compared.Measured([0.5, 0.4, 0.6], 400),
                               "onnx": compared.Measured([0.7, 0.6, 0.65], 300),
                               "limit": compared.Measured([0.3], 50)}}
    contenders = ["paddlegan", "paddle", "auto", "onnx", "torch", "limit"]
    line = compared.table(made, contenders)[-1].strip("| ").split(" | ")
    assert line == ["AnimeGANv2, 256 px", "3.000 (2.000 - 4.000)", "1.000", "0.500 (0.400 - 0.600)",
                    "0.650 (0.600 - 0.700)", "-", "0.300", "6.0x", "3.0x", "10.0x", "1.30x"]
    assert compared.memory_table(made, contenders[:-1])[-1] == "| AnimeGANv2, 256 px | 900 | 700 | 400 | 300 | - |"
    made["animeganv2-256"]["auto"].note = "in onnx"
    assert compared.notes(made) == ["- ours, auto: AnimeGANv2, 256 px in onnx."]
    text = compared.markdown(made, contenders, 3)
    assert text.startswith(compared.HEADING) and "OMP" not in text and compared.PLOT.as_posix() in text


def test_the_limit_is_the_share_of_a_matrix_product_that_the_network_has(tmp_path, monkeypatch):
    """A 1x1 convolution of 3 to 2 maps of 4 x 5 pixels."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from ppgan_apps.onnx_graphs import Graph
    graph = Graph()
    drawn = graph.add("Conv", "photo", np.ones((2, 3, 1, 1)))
    onnx.save(graph.model("one", {"photo": ("float32", ("batch", 3, "height", "width"))},
                          {"picture": (drawn, ("batch", 2, "height", "width"))}, {}), str(tmp_path / "one.onnx"))
    monkeypatch.setattr(compared, "given", lambda case: np.zeros((1, 3, 4, 5), np.float32))
    monkeypatch.setattr(compared, "LIMIT_SIDE", 10)
    one_pass = compared.limit_pass(compared.CASES["unet-256"], tmp_path / "one.onnx")
    assert one_pass().shape == (10, 10) and one_pass.scale == 2 * 3 * 4 * 5 / 1000


def test_the_engines_plot_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    from ppgan_apps.images import read_image
    made = {name: {"paddlegan": compared.Measured([2.0], 1), "auto": compared.Measured([0.5], 1)}
            for name in ("unet-256", "stylegan2-256")}
    compared.draw(made, ["paddlegan", "auto", "torch"], tmp_path / "images" / "plot.png")
    assert read_image(tmp_path / "images" / "plot.png").std() > 5


def test_engines_take_turns_and_one_that_fails_is_left_out(tmp_path, monkeypatch, capsys):
    """Stand-ins for the workers: a quick one, one that takes longer than there is patience for, and a broken one."""
    def stand_in(python, worker, name, file=None):
        say = "import sys, json\nfor line in sys.stdin: print(json.dumps({'seconds': %s, 'megabytes': 1}), flush=True)"
        code = {"export": "print('{\"file\": \"x\"}')", "auto": say % 0.5, "paddlegan": say % 50.0,
                "onnx": "raise SystemExit('no runtime')"}[worker]
        return [sys.executable, "-c", code]
    monkeypatch.setattr(compared, "command", stand_in)
    measured = compared.measure("unet-256", dict.fromkeys(["paddlegan", "auto", "onnx"], Path("python")), 3, 10.0,
                                tmp_path)
    assert {name: got.seconds for name, got in measured.items()} == {"paddlegan": [50.0], "auto": [0.5] * 3}
    assert "onnx is left out: no runtime" in capsys.readouterr().err


# Training

def test_the_training_table_compares_medians_and_spreads_the_penalties(monkeypatch):
    made = {"stylegan2": {"paddlegan": training.Measured([9.0, 6.0, 8.0], 3000),
                          "ours": training.Measured([2.0, 1.0, 3.0], 2000, 3.5)}}
    line = training.table(made, ["paddlegan", "paddlegan-settled", "ours"])[-1].strip("| ").split(" | ")
    assert line == ["StyleGAN2, batch 2", "8.00 (6.00 - 9.00)", "-", "2.00 (1.00 - 3.00)", "4.0x", "-", "3.50",
                    "3000 / - / 2000"]
    # 16 steps: one with both penalties, three more with the path length, twelve without any.
    answers = {training.BOTH: 20.0, training.PATH: 10.0}
    monkeypatch.setattr(training, "ask", lambda process, step: {"seconds": answers[int(step)], "megabytes": 2500})
    training._add_penalties(made["stylegan2"]["ours"], None, 16, 4)
    assert made["stylegan2"]["ours"].with_penalties == (20 + 3 * 10 + 12 * 2) / 16


def test_trainings_take_turns_and_a_slow_one_has_one_step(monkeypatch, capsys):
    """Stand-ins for the workers: a quick one, one that takes longer than there is patience for, and a broken one."""
    say = "import sys, json\nfor line in sys.stdin: print(json.dumps({'seconds': %s, 'megabytes': 1}), flush=True)"
    code = {"ours": say % 0.5, "paddlegan": say % 50.0, "paddlegan-settled": "raise SystemExit('no ppgan')"}
    monkeypatch.setattr(training, "command", lambda python, worker, case: [sys.executable, "-c", code[worker]])
    measured = training.measure("pix2pix", dict.fromkeys(training.CONTENDERS, Path("python")), 3, 15.0)
    assert {name: got.seconds for name, got in measured.items()} == {"paddlegan": [50.0], "ours": [0.5] * 3}
    assert "paddlegan-settled is left out: no ppgan" in capsys.readouterr().err


@pytest.mark.parametrize("case", ["animeganv2", "stylegan2"])
def test_our_training_steps_are_the_recipes(case, monkeypatch):
    monkeypatch.setattr(training, "SIZE", 16)
    losses = training.our_step(case)(training.PLAIN)
    assert {"animeganv2": "variation", "stylegan2": "G"}[case] in losses
    assert not {"r1", "path"} & set(losses) and all(np.isfinite(value) for value in losses.values())


# The network's share

def test_calls_inside_calls_are_counted_once():
    class Network:
        def run(self, depth):
            time.sleep(0.01)
            return depth and self.run(depth - 1)
    start = time.perf_counter()
    with network_share.watched((Network, "run")) as watch:
        Network().run(2)
        Network().run(0)
    assert 0.04 <= watch.seconds <= time.perf_counter() - start and watch.began >= start
    assert Network.run.__name__ == "run"                       # it is watched no longer


# The command and its report

def test_a_section_takes_its_own_place_and_no_other(tmp_path):
    file = tmp_path / "docs" / "report.md"
    replace_section(file, "# One\n\nfirst\n")
    replace_section(file, "## Two\n\nsecond")
    replace_section(file, "# One\n\n### Part\n\nnew first")
    replace_section(file, "# Three\n\nthird")
    assert file.read_text() == "# One\n\n### Part\n\nnew first\n\n## Two\n\nsecond\n\n# Three\n\nthird\n"


def test_the_command_writes_the_table(channels_last, tmp_path):
    output = tmp_path / "benchmarks.md"
    output.write_text("# Before\n\nkept\n")
    command = [sys.executable, str(SCRIPT), "--networks", "animeganv2_lite", "--rounds", "1", "--write", "--output",
               str(output), "--onnx", f"animeganv3={channels_last}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = output.read_text()
    assert text.startswith("# Before\n\nkept\n\n## AnimeGAN's Table 1 again\n")
    rows = {line.split(" | ")[0]: line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")}
    lite, third = rows["| AnimeGANv2 lite"], rows["| AnimeGANv3"]
    assert lite[1:4] == ["3.85", "962,368", "10.59"] and third[2] == "249" and third[5] == "1.02 M parameters"
    median, fastest, slowest = (float(part) for part in re.findall(r"[\d.]+", lite[4]))
    assert 0 < fastest <= median <= slowest
    assert "not measured" not in text.split("Where the published")[1]


def test_wrong_use_is_one_line_and_status_two(tmp_path):
    for arguments in (["--onnx", "file.onnx"], ["--onnx", f"animeganv3={tmp_path / 'none.onnx'}", "--networks"]):
        done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)
        assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
