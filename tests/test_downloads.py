"""Downloads against a real HTTP server on this machine: resumed, bounded, verified, pinned, and never hanging."""

from __future__ import annotations

import bz2
import hashlib
import http.server
import io
import multiprocessing
import socket
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ppgan_apps import downloads
from ppgan_apps.downloads import Patience, fetch
from ppgan_apps.errors import WeightsError
from ppgan_apps.weights import Pretrained, choose, save_weights

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SHORT = Patience(open=0.6, block=0.6, lock=5)  # for what must be given up
CALM = Patience(open=20, block=20, lock=60)  # for what must succeed, however busy this machine is


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT under addresses that say how it misbehaves."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        getattr(self, "serve_" + self.path.strip("/").split("/")[0], self.serve_missing)()

    def log_message(self, *_):
        """Silence."""

    def send(self, body: bytes, code: int = 200, announced: int | None = None, **headers: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def serve_missing(self):
        self.send(b"no such file", 404)

    def serve_good(self):
        self.send(CONTENT, ETag='"one"')

    def serve_packed(self):
        self.send(self.server.packed)

    def serve_drop(self):
        """Breaks off after a third of what is left; goes on where it is asked to, for the same version only."""
        etag, start = self.server.etag, 0
        if self.headers.get("Range") and self.headers.get("If-Range") == etag:
            start = int(self.headers["Range"][len("bytes=") : -1])
        left = CONTENT[start:]
        piece = left if len(left) < 60_000 else left[: len(left) // 2]
        code = 206 if start else 200
        extra = {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if start else {}
        self.send(piece, code, announced=len(left), ETag=etag, **extra)
        self.close_connection = True

    def serve_dead(self):
        self.send(b"", announced=len(CONTENT))
        self.close_connection = True

    def serve_ignorant(self):
        """Breaks off once, then sends everything from the start, whatever is asked for."""
        whole = len(self.server.requests) > 1
        self.send(CONTENT if whole else CONTENT[:50_000], announced=len(CONTENT), ETag='"one"')
        self.close_connection = True

    def serve_stall(self):
        self.send(CONTENT[:40_000], announced=len(CONTENT), ETag='"one"')
        self.server.stop.wait(20)

    def serve_silent(self):
        self.server.stop.wait(20)

    def serve_trickle(self):
        self.send(b"", announced=len(CONTENT))
        while not self.server.stop.wait(0.05):
            self.wfile.write(b"x")
            self.wfile.flush()

    def serve_endless(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")

    def serve_from(self):
        self.send(b"", 302, Location="/good/net.bin")

    def serve_elsewhere(self):
        """Leads out of HTTP: to where the rest of the address says."""
        self.send(b"", 302, Location=self.server.location)

    def serve_nearly(self):
        """Breaks off at 99 %, again and again, from wherever it is asked to go on."""
        start = int(self.headers["Range"][len("bytes="):-1]) if self.headers.get("Range") else 0
        left = CONTENT[start:]
        extra = {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if start else {}
        self.send(left[:max(1, len(left) * 99 // 100)], 206 if start else 200, announced=len(left), ETag='"one"',
                  **extra)
        self.close_connection = True

    def serve_short(self):
        """Announces fewer bytes than there are."""
        self.send(CONTENT, announced=1000, ETag='"one"')
        self.close_connection = True

    def serve_odd(self):
        """A length that is a digit to str.isdigit and none to int."""
        self.send_response(200)
        self.wfile.write(b"".join(self._headers_buffer) + b"Content-Length: \xb2\r\n\r\n" + CONTENT)
        self._headers_buffer = []
        self.close_connection = True

    def serve_wrong(self):
        """Goes on, when asked to, with other bytes than those of the file."""
        start = int(self.headers["Range"][len("bytes="):-1]) if self.headers.get("Range") else 0
        body = bytes(len(CONTENT) - start) if start else CONTENT[:100_000]
        extra = {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if start else {}
        self.send(body, 206 if start else 200, announced=len(CONTENT) - start, ETag='"one"', **extra)
        self.close_connection = True

    def serve_circle(self):
        self.send(b"", 302, Location="/circle/net.bin")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        """A client that leaves early is what is tested here."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("PPGAN_APPS_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server(("127.0.0.1", 0), Handler)
    server.requests, server.stop, server.etag, server.packed = [], threading.Event(), '"one"', b""
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def target(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PPGAN_APPS_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "net.bin"


def fails(url: str, target: Path, within: float = 8.0, **options) -> str:
    begin = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        fetch(url, target, name="family/style", patience=SHORT, **options)
    assert time.monotonic() - begin < within
    assert not target.exists() and "\n" not in str(caught.value)
    return str(caught.value)


def leftovers(target: Path) -> set[str]:
    return {entry.name for entry in target.parent.iterdir()} - {target.name, target.name + ".lock"}


def test_a_file_is_fetched_once_and_checked(server, target, capfd):
    for _ in range(2):
        assert fetch(server.url + "/good/net.bin", target, SHA256, len(CONTENT), patience=CALM) == target
        assert target.read_bytes() == CONTENT
    assert len(server.requests) == 1
    assert leftovers(target) == {"net.bin.sha256"}
    assert capfd.readouterr().err == ""  # no progress bar where nobody watches


def test_what_breaks_off_is_resumed_where_it_ended(server, target):
    assert fetch(server.url + "/drop/net.bin", target, SHA256, patience=CALM).read_bytes() == CONTENT
    ranges = [asked for _, asked, _ in server.requests]
    assert ranges == [None, "bytes=150000-", "bytes=225000-", "bytes=262500-"]
    assert {version for _, _, version in server.requests[1:]} == {'"one"'}


def test_a_later_run_goes_on_and_another_version_starts_over(server, target):
    target.parent.mkdir()
    part = target.with_name("net.bin.part")
    part.write_bytes(CONTENT[:280_000])
    part.with_name("net.bin.part.version").write_text('"one"')
    fetch(server.url + "/drop/net.bin", target, SHA256, patience=CALM)
    assert [asked for _, asked, _ in server.requests] == ["bytes=280000-"]
    target.unlink()
    part.write_bytes(b"of an older version" * 1000)
    part.with_name("net.bin.part.version").write_text('"zero"')
    fetch(server.url + "/drop/net.bin", target, SHA256, patience=CALM)
    assert target.read_bytes() == CONTENT


def test_a_server_that_cannot_resume_starts_over(server, target):
    assert fetch(server.url + "/ignorant/net.bin", target, SHA256, patience=CALM).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_redirects_are_followed_and_circles_given_up(server, target):
    assert "TooManyRedirects" in fails(server.url + "/circle/net.bin", target)
    assert fetch(server.url + "/from/net.bin", target, SHA256, patience=CALM).read_bytes() == CONTENT


@pytest.mark.parametrize("location", ["file:///etc/hostname", "ftp://127.0.0.1/net.bin", "data:,text", "gopher://x/",
                                      "http://", "//"])
def test_redirects_out_of_http_are_not_followed(server, target, location):
    server.location = location
    assert "cannot be downloaded" in fails(server.url + "/elsewhere/net.bin", target)
    assert not leftovers(target)


def test_what_breaks_off_at_99_percent_is_resumed_and_whole(server, target):
    assert fetch(server.url + "/nearly/net.bin", target, SHA256, patience=CALM).read_bytes() == CONTENT
    starts = [int(asked[len("bytes="):-1]) for _, asked, _ in server.requests if asked]
    assert starts[0] == 297_000 and starts == sorted(set(starts))


def test_lengths_that_are_lies(server, target):
    assert "1000 bytes" in fails(server.url + "/short/net.bin", target, size=len(CONTENT))
    assert "sha256" in fails(server.url + "/short/net.bin", target, sha256=SHA256)
    assert not leftovers(target)
    try:
        assert fetch(server.url + "/odd/net.bin", target, SHA256, patience=CALM).read_bytes() == CONTENT
    except WeightsError as error:
        assert "\n" not in str(error) and not target.exists()


def test_other_bytes_on_resuming_are_thrown_away(server, target):
    assert "sha256" in fails(server.url + "/wrong/net.bin", target, sha256=SHA256)
    assert not leftovers(target)


def test_a_wrong_sum_or_size_is_thrown_away(server, target):
    message = fails(server.url + "/good/net.bin", target, sha256="0" * 64)
    assert SHA256 in message and "0" * 64 in message and not leftovers(target)
    assert "300000 bytes" in fails(server.url + "/good/net.bin", target, size=300_001) and not leftovers(target)


def test_too_long_is_stopped(server, target):
    assert "announces 300000 bytes" in fails(server.url + "/good/net.bin", target, size=299_999)
    assert "more than the 200000 bytes" in fails(server.url + "/endless/net.bin", target, size=200_000)
    assert sum(entry.stat().st_size for entry in target.parent.iterdir()) < 1000


def test_no_such_file_and_nothing_there_to_resume(server, target):
    message = fails(server.url + "/nowhere/net.bin", target)
    assert "404" in message and "family/style" in message and str(target) in message
    assert "cannot be downloaded" in fails(server.url + "/dead/net.bin", target)


@pytest.mark.parametrize("how", ["stall", "silent", "trickle"])
def test_a_server_that_stalls_is_given_up(server, target, how):
    assert "for 0.6 s" in fails(f"{server.url}/{how}/net.bin", target)


def test_what_came_before_a_stall_is_kept_for_the_next_run(server, target):
    fails(server.url + "/stall/net.bin", target)
    assert 0 < (target.parent / "net.bin.part").stat().st_size <= 40_000
    server.requests.clear()
    fetch(server.url + "/drop/net.bin", target, SHA256, patience=CALM)
    assert server.requests[0][1] is not None


def test_unreachable_hosts_are_given_up_at_once(target, monkeypatch):
    monkeypatch.delenv("PPGAN_APPS_OFFLINE", raising=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "refuses the connection" in fails(f"http://127.0.0.1:{port}/net.bin", target)
    with socket.socket() as deaf:  # accepts nothing: the connection is made by the kernel, and no answer ever comes
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        assert "not answer" in fails(f"http://127.0.0.1:{deaf.getsockname()[1]}/net.bin", target)
    fails("http://name.invalid/net.bin", target)


def test_offline_says_what_to_put_where(target):
    url = "https://example.org/folder/net.bin"
    message = fails(url, target, within=2)  # the tests' own environment sets PPGAN_APPS_OFFLINE
    assert url in message and str(target) in message and "family/style" in message and "PPGAN_APPS_OFFLINE" in message
    assert not target.parent.exists()
    assert "unpack it" in fails(url + ".bz2", target)
    assert "take model.pdparams out of it" in fails(url + ".zip#model.pdparams", target)


def test_a_file_put_there_by_hand_is_pinned(target):
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    for _ in range(2):
        assert fetch("https://example.org/net.bin", target) == target
    target.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(WeightsError, match="not the file that was first used here"):
        fetch("https://example.org/net.bin", target)
    target.with_name("net.bin.sha256").write_text("{")
    with pytest.raises(WeightsError, match="damaged"):
        fetch("https://example.org/net.bin", target)
    target.with_name("net.bin.sha256").unlink()
    with pytest.raises(WeightsError, match="not the file that was published"):
        fetch("https://example.org/net.bin", target, SHA256)


def test_packed_files_are_unpacked(server, target):
    server.packed = bz2.compress(CONTENT)
    url = server.url + "/packed/net.bin.bz2"
    assert downloads.file_name(url) == "net.bin"
    assert fetch(url, target, SHA256, len(CONTENT), patience=CALM).read_bytes() == CONTENT
    assert leftovers(target) == {"net.bin.sha256"}
    target.unlink()
    assert "unpacks to over 1000 bytes" in fails(url, target, size=1000)
    server.packed = server.packed[:-100]
    assert "damaged archive" in fails(url, target, size=len(CONTENT))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("folder/model.pdparams", CONTENT)
        archive.writestr("folder/readme", b"x")
    server.packed = buffer.getvalue()
    url = server.url + "/packed/net.zip#model.pdparams"
    assert downloads.file_name(url) == "net.pdparams"
    assert fetch(url, target, patience=CALM).read_bytes() == CONTENT
    target.unlink()
    assert "holds 0 files other" in fails(server.url + "/packed/net.zip#other", target)


def fetch_in_a_process(url, target, results):
    results.put(str(fetch(url, target, SHA256, patience=CALM)))


def test_two_processes_fetch_it_once(server, target):
    context, url = multiprocessing.get_context("spawn"), server.url + "/good/net.bin"
    results = context.Queue()
    processes = [context.Process(target=fetch_in_a_process, args=(url, target, results)) for _ in range(2)]
    for process in processes:
        process.start()
    assert {results.get(timeout=60) for _ in processes} == {str(target)}
    for process in processes:
        process.join()
    assert len(server.requests) == 1


def test_an_unwritable_cache_is_one_sentence(server, tmp_path):
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "net.bin"
    with pytest.raises(WeightsError, match="PPGAN_APPS_HOME"):
        fetch(server.url + "/good/net.bin", target)


def test_choose_takes_the_public_weights_where_they_can_be_had(server, target):
    embedded = Pretrained("family/embedded", "embedded:net.safetensors")
    public = Pretrained("family/public", server.url + "/good/net.bin", SHA256, len(CONTENT), "MIT", "a test")
    missing = Pretrained("family/missing", server.url + "/nowhere/other.bin")
    assert not public.available()
    assert choose(missing, embedded) is embedded
    assert choose(public, embedded) is public
    assert public.available() and public.path().parent == target.parent
    requests = len(server.requests)
    assert choose(public, embedded) is public and len(server.requests) == requests
    assert public.describe() == "family/public (licence: MIT; source: a test)"


def test_choose_offline_is_at_once_the_embedded(target):
    embedded = Pretrained("family/embedded", "embedded:net.safetensors")
    begin = time.monotonic()
    assert choose(Pretrained("family/public", "https://example.org/net.bin"), embedded) is embedded
    assert time.monotonic() - begin < 1


def test_the_cache_moves_with_the_environment(tmp_path, monkeypatch):
    record = Pretrained("family/public", "https://example.org/folder/net%20one.safetensors?dl=1")
    monkeypatch.setenv("PPGAN_APPS_HOME", str(tmp_path))
    assert record.file() == tmp_path / "net one.safetensors"
    save_weights(record.file(), {"weight": np.ones(3, "f4")})
    assert record.available() and record.path() == record.file()
    monkeypatch.delenv("PPGAN_APPS_HOME")
    assert record.file() == Path.home() / ".cache" / "ppgan_apps" / "net one.safetensors"
