"""The HTTP API of `ppgan-apps serve`, through a real server on the loopback: results, limits, queue, cancelling."""
import re
import socket
import time

import numpy as np
import pytest
import requests

for _package in ("fastapi", "uvicorn", "prometheus_client", "multipart"):
    pytest.importorskip(_package, reason="needs the extra `web`")

import web_server  # noqa: E402
from web_server import error_of, person, picture_of, png, send, wait_for  # noqa: E402

from ppgan_apps.web import door  # noqa: E402
from ppgan_apps.web.limits import Limits  # noqa: E402
from ppgan_apps.web.service import Settings  # noqa: E402
from tests import clips  # noqa: E402

LIMITS = Limits(upload=400_000, pixels=300_000, drawn_side=256, clip_side=256, frames=40, seconds=60, seeds=6)
PLACES = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "files"
    with web_server.running(folder, Settings("cpu", LIMITS, PLACES, 1, keep=60.0)) as found:
        yield found


@pytest.fixture(scope="module")
def address(server):
    return server[0]


@pytest.fixture
def files(server):
    """The files that the server keeps."""
    return lambda: [path for path in server[1].folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    pytest.importorskip("av", reason="needs the extra `video`")
    return clips.write(tmp_path_factory.mktemp("films") / "film.mp4", frames=36, size=(256, 192)).read_bytes()


def counted(address, name):
    """A number of /metrics."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", requests.get(f"{address}/metrics", timeout=60).text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def state_of(address, job):
    return requests.get(f"{address}/api/v1/jobs/{job['id']}", timeout=60).json()


# What works

def test_photo_to_cartoon_and_back_and_nothing_is_kept(address, files):
    answer = send(address, "photo2cartoon", png(person()))
    cartoon = picture_of(answer)
    assert cartoon.shape == (256, 256, 3) and (cartoon[0, -1] == 255).all() and cartoon.std() > 20
    assert (answer.headers["x-weights"], answer.headers["x-licence"]) == ("photo2cartoon/embedded", "Apache-2.0")
    pasted = picture_of(send(address, "photo2cartoon", png(person()), data={"paste_back": "true", "faces": "all"}))
    changed = np.abs(pasted.astype(int) - person()).max(axis=2) > 8
    assert pasted.shape == (256, 256, 3) and 0.05 < changed.mean() < 0.9
    assert picture_of(send(address, "anime2real", png(cartoon))).shape == (256, 256, 3)
    wait_for(lambda: not files())


def test_anime_is_what_the_predictor_draws(address):
    from ppgan_apps import AnimeGANv2Predictor
    photo = person(192)
    anime = picture_of(send(address, "animeganv2", png(photo)))
    assert (anime == AnimeGANv2Predictor(style="embedded", device="cpu").predict(photo)).all()
    assert picture_of(send(address, "animeganv2", png(person(320), "JPEG"))).shape == (256, 256, 3)   # drawn_side


def test_avatars_of_the_same_seeds_are_the_same(address):
    def post(path, **wish):
        return requests.post(f"{address}/api/v1/stylegan2/{path}", json=wish, timeout=120)
    sheet = picture_of(post("sample", seeds=[1, 7], columns=2, side=64))
    first, second = sheet[4:68, 4:68], sheet[4:68, 72:136]
    alone = picture_of(post("sample", seeds=[7], side=64))
    assert (alone == second).all() and (first != second).mean() > 0.5
    unmixed = picture_of(post("mix", first=1, second=7, coarse=0, middle=0, fine=0, side=64))
    assert (unmixed[4:68, 72:136] == first).all() and (unmixed[4:68, 140:204] == second).all()
    whole = picture_of(post("mix", first=1, second=7, coarse=1, middle=1, fine=1, side=64))
    assert np.abs(whole[4:68, 72:136].astype(int) - second).max() <= 1
    half = picture_of(post("mix", first=1, second=7, coarse=0, middle=0, fine=1, side=64))[4:68, 72:136]
    assert (half != first).any() and (half != second).any()
    for space in ("z", "direction"):
        swept = picture_of(post("sweep", seed=3, coordinate=1, count=3, columns=2, space=space))
        assert swept.shape[1] < 300 and swept.shape[0] > 2 * 128


def test_a_video_keeps_frames_and_sound_and_nothing_else_is_kept(address, film, files, tmp_path):
    answer = send(address, "animeganv2/video", film)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")
    (tmp_path / "film.mp4").write_bytes(film)
    (tmp_path / "anime.mp4").write_bytes(answer.content)
    drawn, given = clips.frames(tmp_path / "anime.mp4"), clips.frames(tmp_path / "film.mp4")
    assert [time for time, _ in drawn] == [time for time, _ in given]
    assert clips.sound(tmp_path / "anime.mp4")[0] == clips.sound(tmp_path / "film.mp4")[0]
    assert np.abs(drawn[5][1].astype(int) - given[5][1]).mean() > 2
    wait_for(lambda: not files())


def test_facts_about_the_server(address):
    health = requests.get(f"{address}/api/v1/health", timeout=60).json()
    assert health["status"] == "ok" and {"waiting", "running", "version"} <= set(health)
    records = requests.get(f"{address}/api/v1/models", timeout=60).json()
    assert all(record["licence"] and record["source"] for record in records) and len(records) > 15
    assert {"photo2cartoon/embedded", "stylegan2/avatars"} <= {r["name"] for r in records if r["available"]}
    before = counted(address, 'ppgan_apps_jobs_total{kind="stylegan2_sample",state="done"}')
    picture_of(requests.post(f"{address}/api/v1/stylegan2/sample", json={"seeds": [5]}, timeout=60))
    assert counted(address, 'ppgan_apps_jobs_total{kind="stylegan2_sample",state="done"}') == before + 1
    assert counted(address, 'ppgan_apps_requests_total{path="/api/v1/stylegan2/sample",status="200"}') >= 1
    assert counted(address, "process_resident_memory_bytes") > 1e8


def test_the_schema_describes_every_address_and_the_reference_needs_nobody(address):
    schema = requests.get(f"{address}/api/v1/openapi.json", timeout=60).json()
    assert {"/photo2cartoon", "/anime2real", "/animeganv2", "/stylegan2/sample", "/models", "/health", "/metrics",
            "/jobs/{job_id}"} <= set(schema["paths"])
    page = requests.get(f"{address}/api/docs", timeout=60).text
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            assert operation["description"] and f"/api/v1{path}" in page
        if "post" in operations:
            assert {"413", "422", "503", "504"} & set(operations["post"]["responses"]) >= {"422", "503"}
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)


# What is refused

def test_a_picture_without_a_face(address, files):
    grey = png(np.full((128, 128, 3), 128, np.uint8))
    message = error_of(send(address, "photo2cartoon", grey), "no_face")
    assert "face" in message
    assert "人脸" in error_of(send(address, "photo2cartoon?lang=zh", grey), "no_face")
    assert "人脸" in error_of(send(address, "photo2cartoon", grey, headers={"Accept-Language": "zh-CN,en;q=0.5"}),
                            "no_face")
    wait_for(lambda: not files())


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n broken", png(person(64))[:900],
                                  png(np.zeros((8, 8, 3), np.uint8))],
                         ids=["empty", "text", "broken", "cut off", "tiny"])
def test_files_that_are_no_picture(address, data):
    for path in ("photo2cartoon", "anime2real", "animeganv2"):
        error_of(send(address, path, data), "bad_picture")


def test_a_picture_of_too_many_pixels_is_not_decoded(address):
    large = png(np.zeros((600, 600, 3), np.uint8))
    assert len(large) < 5000 and "600x600" in error_of(send(address, "animeganv2", large), "too_many_pixels", 413)


@pytest.mark.parametrize("length", [LIMITS.upload + 1, 3_000_000])
def test_a_file_of_too_many_bytes(address, length):
    assert "0.4 MB" in error_of(send(address, "animeganv2", b"x" * length), "too_many_bytes", 413)


def test_too_many_bytes_without_a_stated_length(address):
    def pieces():
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        for _ in range(40):
            yield b"x" * 50_000
        yield b"\r\n--b--\r\n"
    answer = requests.post(f"{address}/api/v1/animeganv2", data=pieces(), timeout=60,
                           headers={"Content-Type": "multipart/form-data; boundary=b"})
    error_of(answer, "too_many_bytes", 413)


@pytest.mark.parametrize("path", ["/api/v1/animeganv2", "/api/v1/stylegan2/sample"])
def test_a_client_that_stops_sending_is_told_and_nothing_is_kept(path, address, files, monkeypatch):
    monkeypatch.setattr(door, "SILENCE_SECONDS", 0.3)
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 30) as client:
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: multipart/form-data; boundary=b\r\n"
                       'Content-Length: 9000\r\n\r\n--b\r\nContent-Disposition: form-data; name="file"; '
                       'filename="a.png"\r\n\r\nbegun'.encode())
        begun, received = time.monotonic(), b""
        while more := client.recv(1 << 16):                    # until the server closes
            received += more
    assert received.startswith(b"HTTP/1.1 408 ") and b'"silent"' in received and b"0.3 seconds" in received
    assert time.monotonic() - begun < 20
    wait_for(lambda: not files())


def test_a_slow_client_is_served(address, monkeypatch):
    monkeypatch.setattr(door, "SILENCE_SECONDS", 1.0)
    photo = png(person(64))

    def pieces():
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.png"\r\n\r\n'
        for at in range(0, len(photo), len(photo) // 5):
            time.sleep(0.4)
            yield photo[at:at + len(photo) // 5]
        yield b"\r\n--b--\r\n"
    answer = requests.post(f"{address}/api/v1/animeganv2", data=pieces(), timeout=60,
                           headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert picture_of(answer).shape == (64, 64, 3)


def test_videos_that_are_none_or_too_long(address, tmp_path):
    pytest.importorskip("av", reason="needs the extra `video`")
    error_of(send(address, "animeganv2/video", png(person(64))[:50]), "bad_video")
    long = clips.write(tmp_path / "long.mp4", frames=41, size=(64, 48), sound=False).read_bytes()
    assert "40 frames" in error_of(send(address, "animeganv2/video", long), "too_many_frames", 413)
    wide = clips.write(tmp_path / "wide.mp4", frames=2, size=(640, 480), sound=False).read_bytes()
    error_of(send(address, "animeganv2/video", wide), "too_many_pixels", 413)
    empty = clips.write(tmp_path / "empty.mp4", frames=3, size=(96, 96), sound=False).read_bytes()
    error_of(send(address, "photo2cartoon/video", empty), "no_face")


@pytest.mark.parametrize("path, wish, code", [
    ("sample", {"seeds": list(range(7))}, "too_many_seeds"), ("sample", {"seeds": []}, "bad_field"),
    ("sample", {"seeds": [-1]}, "bad_field"), ("sample", {"seeds": [1], "truncation": 3}, "bad_field"),
    ("sample", {"seeds": [1], "style": "../../etc/passwd"}, "no_such_style"), ("sample", [], "bad_field"),
    ("mix", {"first": 1}, "bad_field"), ("sweep", {"seed": 1, "coordinate": 100_000}, "bad_request")])
def test_numbers_that_cannot_be_used(address, path, wish, code):
    error_of(requests.post(f"{address}/api/v1/stylegan2/{path}", json=wish, timeout=60), code)


def test_other_requests_that_cannot_be_used(address):
    error_of(requests.post(f"{address}/api/v1/animeganv2", timeout=60), "no_file")
    error_of(send(address, "photo2cartoon", png(person(64)), data={"faces": "some"}), "bad_field")
    error_of(send(address, "animeganv2", png(person(64)), data={"style": "hayao"}), "no_such_style")
    answer = requests.post(f"{address}/api/v1/stylegan2/sample", data="{", timeout=60,
                           headers={"Content-Type": "application/json"})
    assert "JSON" in error_of(answer, "bad_field")
    error_of(requests.get(f"{address}/api/v1/nowhere", timeout=60), "not_found", 404)
    error_of(requests.get(f"{address}/api/v1/animeganv2", timeout=60), "wrong_method", 405)
    error_of(requests.get(f"{address}/api/v1/jobs/none", timeout=60), "no_such_job", 404)


def test_a_job_that_takes_too_long(tmp_path, film):
    limits = Limits(seconds=0.3, frames=40)
    with web_server.running(tmp_path / "files", Settings("cpu", limits, keep=60.0)) as (address, _):
        assert "0.3 seconds" in error_of(send(address, "animeganv2/video", film), "too_slow", 504)


# The queue

def test_queue_positions_and_full_and_cancelling_really_stops(address, film, files):
    running = send(address, "animeganv2/video?wait=false", film).json()
    begun = wait_for(lambda: (found := state_of(address, running))["drawn"] >= 1 and found)
    assert begun["state"] == "running" and begun["total"] == 36
    waiting = [send(address, "animeganv2?wait=false", png(person(64))).json() for _ in range(PLACES)]
    assert [state_of(address, job)["position"] for job in waiting] == [0, 1, 2]
    full = send(address, "animeganv2", png(person(64)))
    error_of(full, "queue_full", 503)
    assert int(full.headers["retry-after"]) >= 1
    assert "重试" in error_of(send(address, "animeganv2?lang=zh", png(person(64))), "queue_full", 503)
    error_of(requests.get(f"{address}{PREFIX_RESULT.format(running['id'])}", timeout=60), "not_finished", 409)

    gone = requests.delete(f"{address}/api/v1/jobs/{waiting[0]['id']}", timeout=60).json()
    assert gone["state"] == "cancelled" and state_of(address, waiting[1])["position"] == 0
    error_of(requests.get(f"{address}{PREFIX_RESULT.format(gone['id'])}", timeout=60), "cancelled", 409)
    at = requests.delete(f"{address}/api/v1/jobs/{running['id']}", timeout=60).json()["drawn"]
    ended = wait_for(lambda: (found := state_of(address, running))["state"] != "running" and found)
    assert ended["state"] == "cancelled" and ended["drawn"] <= at + 1 < 36 and ended["result"] is None

    done = wait_for(lambda: (found := state_of(address, waiting[2]))["state"] == "done" and found)
    assert picture_of(requests.get(address + done["result"], timeout=60)).shape == (64, 64, 3)
    for job in waiting:
        requests.delete(f"{address}/api/v1/jobs/{job['id']}", timeout=60)
    error_of(requests.get(address + done["result"], timeout=60), "no_such_job", 404)
    wait_for(lambda: not files())


PREFIX_RESULT = "/api/v1/jobs/{}/result"


def test_a_client_that_goes_away_cancels_its_job(address, film, files):
    name = 'ppgan_apps_jobs_total{kind="animeganv2_video",state="cancelled"}'
    before = counted(address, name)
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="film.mp4"\r\n\r\n'
    body = head + film + b"\r\n--b--\r\n"
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /api/v1/animeganv2/video HTTP/1.1\r\nHost: test\r\nContent-Type: multipart/form-data; "
                       b"boundary=b\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        wait_for(lambda: counted(address, "ppgan_apps_running") == 1)
        time.sleep(0.3)
    wait_for(lambda: counted(address, name) == before + 1)
    wait_for(lambda: not files())
