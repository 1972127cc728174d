"""The records: complete, unambiguous, and true of the files that are embedded."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib import import_module

import pytest

from ppgan_apps import downloads, weights, zoo
from ppgan_apps.errors import WeightsError

MAX_EMBEDDED_BYTES = 8 << 20
NETWORKS = {
    "photo2cartoon/paddlegan": "photo2cartoon.Photo2CartoonGenerator",
    "animeganv2/hayao": "animeganv2.AnimeGANv2Generator",
    "animeganv2/face_paint_512_v2": "animeganv2.AnimeGANv2Generator",
    "stylegan2/ffhq": "stylegan2.StyleGAN2Generator",
    "stylegan2/animeface-512": "stylegan2.StyleGAN2Generator",
    "ugatit/selfie2anime": "ugatit.UGATITGenerator",
    "pix2pix/facades": "unet.UnetGenerator",
    "pix2pix/cityscapes": "unet.UnetGenerator",
    "cyclegan/horse2zebra": "resnet.ResnetGenerator",
    "cyclegan/cityscapes": "resnet.ResnetGenerator",
}
EMBEDDED = [record for record in zoo.records() if record.embedded]


@pytest.mark.parametrize("record", zoo.records(), ids=lambda record: record.name)
def test_a_record_says_all_that_a_user_must_know(record):
    assert re.fullmatch(r"[a-z0-9]+(/[a-z0-9_-]+)?", record.name)
    assert record.url.startswith(("https://", "embedded:"))
    assert record.licence and record.source
    assert record.sha256 == "" or re.fullmatch("[0-9a-f]{64}", record.sha256)
    assert record.describe() == f"{record.name} (licence: {record.licence}; source: {record.source})"
    assert zoo.get(record.name) is record
    assert record.input.size >= 32 and len(record.input.mean) == len(record.input.std) == 3


def test_no_two_records_share_a_name_or_a_file():
    for key in (lambda record: record.name, lambda record: record.file()):
        assert len({key(record) for record in zoo.records()}) == len(zoo.records())


@pytest.mark.parametrize("record", EMBEDDED, ids=lambda record: record.name)
def test_an_embedded_file_is_the_one_that_was_recorded(record):
    facts = (record.file().stat().st_size, downloads.sha256_of(record.file()))
    assert (record.size, record.sha256) == facts, "run `python -m ppgan_apps.zoo` and paste its lines into zoo.py"
    assert record.size <= MAX_EMBEDDED_BYTES
    assert record.file().with_suffix(".md").is_file(), "an embedded file needs its model card"
    if record.file().suffix == ".safetensors":
        assert isinstance(weights.read_metadata(record.file()).get("network"), dict)


@pytest.mark.parametrize("family", ["photo2cartoon", "anime2real", "animeganv2", "stylegan2"])
def test_every_predictor_has_embedded_weights(family):
    record = zoo.get(f"{family}/embedded")
    assert record.embedded and record.name.startswith(family + "/")
    assert record.file().parent == weights.PRETRAINED_FOLDER


@pytest.mark.parametrize("name", NETWORKS)
def test_the_arguments_are_those_of_the_network(name):
    pytest.importorskip("paddle")
    module, _, network = NETWORKS[name].partition(".")
    known = inspect.signature(getattr(import_module(f"ppgan_apps.networks.{module}"), network)).parameters
    assert set(zoo.get(name).network) <= set(known)


def test_unknown_names_list_what_is_close():
    with pytest.raises(WeightsError, match=r"no weights called 'animeganv2/hyao': choose from animeganv2/hayao"):
        zoo.get("animeganv2/hyao")
    with pytest.raises(WeightsError, match="stylegan2/ffhq"):
        zoo.get("stylegan2/zzzzzzzzzzz")
    with pytest.raises(WeightsError, match="photo2cartoon/embedded.*vgg19"):
        zoo.get("")
    with pytest.raises(WeightsError):
        zoo.get("vgg19/embedded")


def test_styles_are_the_second_halves_of_the_names():
    foreign = {"face_paint_512_v1", "face_paint_512_v2", "celeba_distill", "paprika"}
    assert {"hayao", "pastel", "comic", "watercolour"} | foreign == set(zoo.styles("animeganv2"))
    assert zoo.styles("nothing") == ()


def test_the_command_prints_lines_to_paste():
    root = weights.PRETRAINED_FOLDER.parents[1]
    command = [sys.executable, "-m", "ppgan_apps.zoo"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    entries = re.findall(r'    "[\w.-]+":\n        \([\d_]+, "[0-9a-f]{64}"\),\n', done.stdout)
    assert len(entries) == sum(record.available() for record in EMBEDDED) and "".join(entries) == done.stdout
