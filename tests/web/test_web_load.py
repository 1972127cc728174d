"""Fifty requests at once to `ppgan-apps serve`: none is lost, memory stays bounded, cancelled ones stop."""
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

for _package in ("fastapi", "uvicorn", "prometheus_client", "multipart", "av"):
    pytest.importorskip(_package, reason="needs the extra `web`")

from web_server import person, png, send, wait_for  # noqa: E402

from tests import clips  # noqa: E402

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
REQUESTS = 50
GROWTH = 250_000_000                                           # bytes beyond what one request of each kind took


@pytest.fixture
def served(tmp_path):
    """(address, process id, temporary folder) of the command, with the API only."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path), "PPGAN_APPS_OFFLINE": "1"}
    command = [sys.executable, "-m", "ppgan_apps", "serve", "--port", "0", "--no-pages", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as process:
        yield process.stdout.readline().split()[0], process.pid, tmp_path
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0 and list(tmp_path.iterdir()) == []


def peak(pid):
    """The most memory that a process has had, in bytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's peak memory from /proc")
def test_fifty_requests_at_once(served, tmp_path_factory, capsys):
    address, pid, folder = served
    photo = png(person(256), "JPEG")

    def ask(number):
        if number % 5 == 0:
            seeds = [number, number + 1, number + 2]
            return requests.post(f"{address}/api/v1/stylegan2/sample", json={"seeds": seeds}, timeout=1200)
        kinds = ("anime2real", "animeganv2", "photo2cartoon" if number < 25 else "animeganv2", "anime2real")
        kind = kinds[number % 5 - 1]
        return requests.post(f"{address}/api/v1/{kind}", files={"file": ("photo.jpg", photo)}, timeout=1200)
    for number in range(5):
        assert ask(number).status_code == 200                  # every network is loaded
    first, begun = peak(pid), time.monotonic()
    with ThreadPoolExecutor(REQUESTS) as pool:
        answers = list(pool.map(ask, range(REQUESTS)))
    seconds, last = time.monotonic() - begun, peak(pid)
    assert [answer.status_code for answer in answers] == [200] * REQUESTS
    assert len({answer.headers["x-job"] for answer in answers}) == REQUESTS
    assert last - first < GROWTH
    wait_for(lambda: not [path for path in folder.rglob("*") if path.is_file()])

    clip = clips.write(tmp_path_factory.mktemp("clip") / "long.mp4", frames=390, size=(256, 192), sound=False)
    busy = send(address, "animeganv2/video?wait=false", clip.read_bytes()).json()["id"]     # the others come behind it
    jobs = [send(address, "animeganv2?wait=false", photo).json()["id"] for _ in range(20)]
    states = [requests.delete(f"{address}/api/v1/jobs/{job}", timeout=60).json()["state"] for job in [*jobs, busy]]
    assert states[:20] == ["cancelled"] * 20 and states[20] in ("running", "cancelled")
    wait_for(lambda: requests.get(f"{address}/health", timeout=60).json()["running"] == 0)
    with capsys.disabled():
        print(f"\n{REQUESTS} requests: {seconds:.1f} s, peak RSS {last / 1e6:.0f} MB, {first / 1e6:.0f} MB before them")
