"""Pictures and clips that are damaged, huge or something else than they say: one sentence each, in bounded memory."""
from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_hostile_files import bounded_memory  # noqa: F401 - for every test here too

from ppgan_apps import images
from ppgan_apps.errors import ImageError, SuiteError, VideoError

RGB = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
KINDS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "tif": "TIFF", "bmp": "BMP"}


def packed(kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, KINDS[kind], **options)
    return buffer.getvalue()


def read(tmp_path: Path, data: bytes, name: str = "picture.png"):
    (tmp_path / name).write_bytes(data)
    return images.read_image(tmp_path / name)


def refused(tmp_path: Path, data: bytes, name: str = "picture.png") -> str:
    with pytest.raises(ImageError) as caught:
        read(tmp_path, data, name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    return str(caught.value)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, body: bytes, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", KINDS)
def test_two_hundred_flipped_bits_and_cuts_of_each_kind(kind, tmp_path):
    """Each is a picture or one sentence."""
    good, random = packed(kind), np.random.default_rng(7)
    outcomes = set()
    for number in range(200):
        data = bytearray(good)
        if number % 4 == 3:
            del data[random.integers(1, len(data)):]
        for at in random.integers(0, len(data), number % 3 + 1):
            data[at] ^= 1 << random.integers(8)
        try:
            picture = read(tmp_path, bytes(data), f"a.{kind}")
            assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
            outcomes.add("read")
        except ImageError as error:
            assert "\n" not in str(error)
            outcomes.add("refused")
    assert "refused" in outcomes


@pytest.mark.parametrize("width, height", [(100_000, 100_000), (100_000, 2000), (1, 1 << 31), (0, 5)])
def test_huge_and_empty_sides_are_refused_before_they_are_unpacked(tmp_path, width, height):
    refused(tmp_path, png(width, height, zlib.compress(bytes(1000))))


def test_a_hundred_thousand_pixels_on_one_side_are_read_where_the_whole_is_small(tmp_path):
    rows = zlib.compress((b"\0" + bytes(3 * 100_000)) * 20)
    assert read(tmp_path, png(100_000, 20, rows)).shape == (20, 100_000, 3)


def test_a_bomb_of_text_inside_a_png_is_refused(tmp_path):
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200 << 20)))
    assert "damaged" in refused(tmp_path, png(1, 1, zlib.compress(bytes(4)), text))


def test_the_limit_is_the_users(tmp_path, monkeypatch):
    data = packed("png")
    monkeypatch.setenv("PPGAN_APPS_MAX_PIXELS", "1199")
    assert "30x40 pixels, more than the 0.0012 million allowed" in refused(tmp_path, data)
    monkeypatch.setenv("PPGAN_APPS_MAX_PIXELS", "1200")
    np.testing.assert_array_equal(read(tmp_path, data), RGB)
    for text in ("many", "-5", "0", "1e9", "²"):
        monkeypatch.setenv("PPGAN_APPS_MAX_PIXELS", text)
        assert "set it to a whole number" in refused(tmp_path, data)


def test_large_transparent_and_deep_pictures_take_little_more_than_themselves(tmp_path):
    """36 million pixels of either kind took 1.3 GB and more in one piece; the memory of these tests is bounded."""
    Image.new("LA", (6000, 6000), (10, 128)).save(tmp_path / "alpha.png", compress_level=1)
    assert images.read_image(tmp_path / "alpha.png")[0, 0].tolist() == [132, 132, 132]
    Image.new("I;16", (6000, 6000), 257 * 7).save(tmp_path / "deep.png", compress_level=1)
    assert images.read_image(tmp_path / "deep.png")[-1, -1].tolist() == [7, 7, 7]


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\n(x) (w) file closefile\nshowpage\n%%EOF\n"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(300)


@pytest.mark.parametrize("data", [EPS, HEIC, b"%PDF-1.4\n", b"<svg xmlns='x'/>", b"P6 2 2 255 ",
                                  b"GIF89a", b"BM", b"II*\0", b"RIFF\0\0\0\0WEBP", b"\xff\xd8\xff", bytes(1000)])
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_other_kinds_under_a_pictures_name_are_refused(tmp_path, data, name, monkeypatch):
    """Pillow would have EPS run by Ghostscript."""
    import subprocess

    def started(*arguments, **options):
        raise AssertionError("a process is started")
    monkeypatch.setattr(subprocess, "Popen", started)
    assert "not a picture" in (message := refused(tmp_path, data, name)) or "damaged" in message


def test_exif_that_makes_no_sense_costs_no_picture(tmp_path):
    """A resolution of 0/0 and orientations that are none, as NaN, or cut off."""
    for orientation in (0, 9, 65535):
        exif = Image.Exif()
        exif[0x0112], exif[0x011A], exif[0x9204] = orientation, (0, 0), (0, 0)
        np.testing.assert_array_equal(read(tmp_path, packed("png", exif=exif)), RGB)
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = exif.tobytes()
    for cut in range(6, len(whole), 3):
        assert read(tmp_path, packed("png", exif=whole[:cut])).shape in ((40, 30, 3), (30, 40, 3))


FLOAT, DOUBLE = 11, 12                                         # TIFF's kinds of values


def exif_of(tag: int, kind: int, value: bytes) -> bytes:
    """An EXIF block, little-endian, of one entry; a value of more than four bytes follows it."""
    where = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", 26)
    entry = struct.pack("<HHHI", 1, tag, kind, 1) + where + struct.pack("<I", 0)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry + (value if len(value) > 4 else b"")


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
@pytest.mark.parametrize("tag", [0x0112, 0x011A, 0x829A])      # orientation, resolution, exposure
def test_exif_that_is_not_a_number(kind, tag, tmp_path):
    """NaN and infinity as floating point: the picture is read, unturned."""
    plain = read(tmp_path, packed(kind), f"a.{kind}")
    for value in (float("nan"), float("inf"), -float("inf")):
        for form, letter in ((FLOAT, "<f"), (DOUBLE, "<d")):
            data = packed(kind, exif=exif_of(tag, form, struct.pack(letter, value)))
            np.testing.assert_array_equal(read(tmp_path, data, f"a.{kind}"), plain)


def test_the_blocks_of_exif_above_are_read_at_all(tmp_path):
    turned = read(tmp_path, packed("png", exif=exif_of(0x0112, 3, struct.pack("<H", 6))))
    np.testing.assert_array_equal(turned, np.rot90(RGB, -1))


def test_float_pictures_with_nan_and_infinity(tmp_path):
    values = np.array([[np.nan, np.inf], [-np.inf, 128]], np.float32)
    Image.fromarray(values).save(tmp_path / "f.tif")
    picture = images.read_image(tmp_path / "f.tif")
    assert picture[0, 0].tolist() == [0, 0, 0] and picture[0, 1].tolist() == [255, 255, 255]
    assert picture[1, 0].tolist() == [0, 0, 0]


# Clips

@pytest.fixture
def clip(tmp_path):
    pytest.importorskip("av", minversion="15.0")
    import clips
    return clips.write(tmp_path / "clip.mp4", frames=12, size=(64, 48))


def pictures(path: Path) -> int:
    from ppgan_apps.codec import open_clip
    return sum(1 for _ in open_clip(path).read(0))


def test_text_files_that_would_have_other_files_opened_are_no_clips(clip):
    """FFmpeg takes such a file for a list of files to play one after another, or for a playlist."""
    for number, text in enumerate(("ffconcat version 1.0\nfile clip.mp4\n",
                                   "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nclip.mp4\n#EXT-X-ENDLIST\n",
                                   "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
                                   "m=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n")):
        path = clip.with_name(f"{number}.mp4")
        path.write_text(text)
        with pytest.raises(VideoError, match="no video that can be read"):
            pictures(path)
    assert pictures(clip) == 12


def test_a_file_named_as_an_address_is_a_file(clip, monkeypatch):
    monkeypatch.chdir(clip.parent)
    clip.rename("concat:a|b.mp4")
    assert pictures(Path("concat:a|b.mp4")) == 12


def test_frames_of_too_many_pixels_are_refused(clip, monkeypatch):
    monkeypatch.setenv("PPGAN_APPS_MAX_PIXELS", "3071")
    with pytest.raises(VideoError, match="A frame of .* has 64x48 pixels"):
        pictures(clip)
    monkeypatch.setenv("PPGAN_APPS_MAX_PIXELS", "3072")
    assert pictures(clip) == 12


def test_a_clip_of_no_length_and_one_that_lies_about_it(clip):
    data = clip.read_bytes()
    at = data.find(b"mvhd") + 16                               # time scale, then duration, in units of it
    for duration in (0, 1, 0xFFFFFFFF):
        lying = clip.with_name("lying.mp4")
        lying.write_bytes(data[:at + 4] + struct.pack(">I", duration) + data[at + 8:])
        assert pictures(lying) == 12
    samples = data.find(b"stsz") + 12                          # how many frames there are
    lying.write_bytes(data[:samples] + struct.pack(">I", 0) + data[samples + 4:])
    with pytest.raises(VideoError):
        pictures(lying)
    for content in (b"", data[:40], data[: data.find(b"mdat") + 8]):
        lying.write_bytes(content)
        with pytest.raises(VideoError):
            pictures(lying)


def test_a_clip_whose_frames_are_gone_when_they_are_read(clip):
    """Damage can do this too: how much of a broken file is saved depends on which of the decoder's threads is first."""
    from ppgan_apps.codec import open_clip
    opened, data = open_clip(clip), clip.read_bytes()
    start = data.find(b"mdat") + 4
    length = struct.unpack(">I", data[start - 8:start - 4])[0] - 8
    clip.write_bytes(data[:start] + bytes(length) + data[start + length:])
    with pytest.raises(VideoError, match="none of its frames"):
        next(opened.read(0))


def test_a_hundred_flipped_bits_of_a_clip(clip):
    """Each is frames, as many as can be decoded, or one sentence."""
    good, random = clip.read_bytes(), np.random.default_rng(3)
    for _ in range(100):
        data = bytearray(good)
        for at in random.integers(0, len(data), 4):
            data[at] ^= 1 << random.integers(8)
        clip.write_bytes(data)
        try:
            assert pictures(clip) >= 1
        except SuiteError as error:
            assert "\n" not in str(error)
