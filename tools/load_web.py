"""An hour of many users at `ppgan-apps serve`: good and bad pictures, slow and vanishing clients, requests for files.

The server is the real command with its own process and temporary folder. Each kind of request has an answer that it
must get; the server's memory, open files and processor time are noted every ten seconds. Users wait between requests
so that the server takes the share of a processor core that is asked for. The report is one line of JSON.
"""
from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "ppgan_apps" / "web" / "examples"
SECRET = "a text that no answer may hold"
LIMITS = ["--max-upload", "2", "--max-pixels", "2", "--max-side", "512", "--max-frames", "60", "--queue", "16",
          "--keep", "2", "--max-seconds", "120"]
STUCK_SECONDS = 300                                            # without an answer
FILES_AT_A_TIME = 12
SAMPLE_SECONDS = 10.0
MOST_PER_SECOND = 5                                            # requests of all users together
WARM_SHARE = 0.25                                              # of the time, before memory's slope is taken


class Wrong(Exception):
    """An answer that is not the one a request must get."""


# ---------------------------------------------------------------------------------------------------------------------
# The server
# ---------------------------------------------------------------------------------------------------------------------
class Server:
    """The command, in a temporary folder that holds all it writes."""

    def __init__(self, folder: Path):
        self.folder, self.outside = folder / "files", folder / "outside"
        for each in (self.folder, self.outside):
            each.mkdir()
        (self.outside / "secret.txt").write_text(SECRET)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder), "PPGAN_APPS_OFFLINE": "1",
                       "OMP_NUM_THREADS": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        self._errors = (folder / "errors.txt").open("w")
        self.process = subprocess.Popen([sys.executable, "-m", "ppgan_apps", "serve", "--port", "0", "--device", "cpu",
                                         *LIMITS], stdout=subprocess.PIPE, stderr=self._errors, text=True,
                                        env=environment, cwd=self.outside)
        self.address = self.process.stdout.readline().split()[0]
        self.place = ("127.0.0.1", int(self.address.rpartition(":")[2]))

    def sample(self) -> dict[str, float]:
        """Memory in MB, open files, threads, files on the disk, and processor seconds so far."""
        about = Path(f"/proc/{self.process.pid}")
        status = (about / "status").read_text()
        times = (about / "stat").read_text().rpartition(")")[2].split()
        ticks = os.sysconf("SC_CLK_TCK")
        return {"rss": int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024,
                "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
                "open": len(list((about / "fd").iterdir())), "cpu": (int(times[11]) + int(times[12])) / ticks,
                "files": sum(path.is_file() for path in self.folder.rglob("*"))}

    def end(self) -> str:
        """Ends it as Ctrl-C does; "" or what is wrong with how it ended."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "it did not end"
        left = [path.name for path in self.folder.iterdir()]
        return f"it ended with {code}, leaving {left}" if code or left else ""

    def errors(self) -> str:
        """What it wrote about faults of its own."""
        self._errors.flush()
        return Path(self._errors.name).read_text()


# ---------------------------------------------------------------------------------------------------------------------
# What is sent
# ---------------------------------------------------------------------------------------------------------------------
class Material:
    """Pictures as bytes."""

    def __init__(self):
        import numpy as np
        from PIL import Image
        self.portraits = [self._scaled(EXAMPLES / f"portrait_{number}.jpg", 256) for number in (1, 2, 3)]
        self.drawings = [self._scaled(EXAMPLES / f"drawing_{number}.jpg", 192) for number in (1, 2, 3)]
        self.scenes = [self._scaled(EXAMPLES / f"scene_{number}.jpg", 160) for number in (1, 2)]
        self.big = self._scaled(EXAMPLES / "scene_1.jpg", 1400)          # within the limits of 2 million pixels, 2 MB
        self.too_wide = self._packed(Image.new("RGB", (1500, 1500)), "PNG")
        noise = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), np.uint8)
        self.too_heavy = self._packed(Image.fromarray(noise), "PNG")     # 4 MB
        self.faceless = self._packed(Image.new("RGB", (160, 160), (128, 128, 128)), "PNG")
        self.clip = (EXAMPLES / "clip.mp4").read_bytes()

    def _scaled(self, path: Path, side: int) -> bytes:
        from PIL import Image
        picture = Image.open(path).convert("RGB")
        scale = side / max(picture.size)
        return self._packed(picture.resize([round(edge * scale) for edge in picture.size]), "JPEG")

    @staticmethod
    def _packed(picture, kind: str) -> bytes:
        data = io.BytesIO()
        picture.save(data, kind)
        return data.getvalue()


def form(content: bytes, name: str = "photo.jpg") -> tuple[bytes, bytes]:
    """(the value of Content-Type, the body) of a form with a file."""
    return (b"multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"; filename="' +
            name.encode() + b'"\r\n\r\n' + content + b"\r\n--b--\r\n")


# ---------------------------------------------------------------------------------------------------------------------
# Users
# ---------------------------------------------------------------------------------------------------------------------
class Users:
    """What users do, each kind a method that raises Wrong; several threads call them."""

    def __init__(self, server: Server, material: Material):
        import requests
        self.server, self.material, self.address = server, material, server.address
        self._requests = requests

    # Requests that get what they ask for

    def look_at_a_page(self, source: random.Random) -> None:
        path = source.choice(["/", "/en/", "/zh/", "/api/docs", "/health", "/metrics", "/api/v1/models", "/favicon.ico",
                              "/en/config", "/api/v1/openapi.json"])
        self._expect(self._requests.get(self.address + path, timeout=STUCK_SECONDS), 200)

    def draw_an_avatar(self, source: random.Random) -> None:
        wish = {"seeds": [source.randrange(1 << 32)], "side": 64}
        self._expect(self._post("stylegan2/sample", json=wish), 200, "image/png")

    def draw_a_scene(self, source: random.Random) -> None:
        self._expect(self._send("animeganv2", source.choice(self.material.scenes)), 200, "image/png")

    def draw_a_drawing(self, source: random.Random) -> None:
        self._expect(self._send("anime2real", source.choice(self.material.drawings)), 200, "image/png")

    def draw_a_portrait(self, source: random.Random) -> None:
        self._expect(self._send("photo2cartoon", source.choice(self.material.portraits)), 200, "image/png")

    def draw_a_big_picture(self, source: random.Random) -> None:
        self._expect(self._send("animeganv2", self.material.big), 200, "image/png")

    def fetch_later(self, source: random.Random) -> None:
        job = self._json(self._send("animeganv2?wait=false", source.choice(self.material.scenes)), 202)
        until = time.monotonic() + STUCK_SECONDS
        while (state := self._state(job))["state"] not in ("done", "failed"):
            if time.monotonic() > until:
                raise Wrong(f"job still {state}")
            time.sleep(0.5)
        self._expect(self._requests.get(self.address + state["result"], timeout=STUCK_SECONDS), 200, "image/png")

    def never_fetch(self, source: random.Random) -> None:
        self._json(self._send("animeganv2?wait=false", source.choice(self.material.scenes)), 202)

    def trickle(self, source: random.Random) -> None:
        """An upload that takes half a minute is served like any other."""
        self._expect_raw(self._raw(self._post_bytes("animeganv2", source.choice(self.material.scenes)),
                                   pieces=30, pause=1.0), (200, 503))

    # Clients that go away, or change their mind

    def vanish_while_sending(self, source: random.Random) -> None:
        data = self._post_bytes("animeganv2", self.material.big)
        self._raw(data[:source.randrange(20, len(data) - 1)], pieces=3, pause=0.5, answer=False)

    def vanish_before_the_answer(self, source: random.Random) -> None:
        self._raw(self._post_bytes("animeganv2", self.material.scenes[0]), answer=False)

    def vanish_in_the_answer(self, source: random.Random) -> None:
        with socket.create_connection(self.server.place, STUCK_SECONDS) as client:
            client.sendall(b"GET /en/ HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(100)

    def say_nothing(self, source: random.Random) -> None:
        """A connection with half a request's head, or none, for as long as a minute."""
        with socket.create_connection(self.server.place, STUCK_SECONDS) as client:
            client.sendall(b"POST /api/v1/animeganv2 HTTP/1.1\r\nHost: x\r\n"[:source.choice([0, 9, 44])])
            time.sleep(source.uniform(5, 60))

    def cancel(self, source: random.Random) -> None:
        job = self._json(self._send("animeganv2/video?wait=false", self.material.clip), 202)
        time.sleep(source.uniform(0, 2))
        self._json(self._requests.delete(f"{self.address}/api/v1/jobs/{job['id']}", timeout=STUCK_SECONDS), 200)
        until = time.monotonic() + STUCK_SECONDS
        while True:
            answer = self._requests.get(f"{self.address}/api/v1/jobs/{job['id']}", timeout=STUCK_SECONDS)
            if answer.status_code == 404 or answer.json()["state"] in ("cancelled", "done"):
                return
            if time.monotonic() > until:
                raise Wrong(f"cancelled, but {answer.json()}")
            time.sleep(0.5)

    # What is refused

    def no_face(self, source: random.Random) -> None:
        self._refused(self._send("photo2cartoon", self.material.faceless), 422, "no_face")

    def too_many_pixels(self, source: random.Random) -> None:
        self._refused(self._send(source.choice(["animeganv2", "photo2cartoon", "anime2real"]), self.material.too_wide),
                      413, "too_many_pixels")

    def too_many_bytes(self, source: random.Random) -> None:
        self._refused(self._send("animeganv2", self.material.too_heavy), 413, "too_many_bytes")

    def no_picture(self, source: random.Random) -> None:
        data = bytearray(source.choice(self.material.scenes)[:source.randrange(400)])
        self._refused(self._send("animeganv2", bytes(data)), 422, "bad_picture")

    def no_such_thing(self, source: random.Random) -> None:
        answer = self._requests.get(f"{self.address}/api/v1/jobs/{source.randbytes(16).hex()}", timeout=STUCK_SECONDS)
        self._refused(answer, 404, "no_such_job")
        self._refused(self._post("stylegan2/sample", json={"seeds": [1], "style": "../../outside/secret.txt"}), 422,
                      "no_such_style")

    def ask_for_files(self, source: random.Random) -> None:
        """Some of the addresses that lead out of the folders served, as they are, not as a client would tidy them, and
        one that does not."""
        self._expect(self._requests.get(f"{self.address}/en/gradio_api/file={EXAMPLES / 'scene_1.jpg'}",
                                        timeout=STUCK_SECONDS), 200, "image/jpeg")
        for path in source.sample(list(files_elsewhere(self.server)), FILES_AT_A_TIME):
            answer = self._raw(b"GET " + path.encode("latin-1") + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            status = self._status(answer)
            if SECRET.encode() in answer or b"root:x:0:0" in answer or b"setuptools" in answer:
                raise Wrong(f"{path} gives a file away")
            if status not in (307, 308, 400, 403, 404, 405, 422):
                raise Wrong(f"{path} is answered with {status}")

    def upload_to_the_page(self, source: random.Random) -> None:
        """With a name that leads elsewhere; the file is one of the page's, to go when its time is over."""
        kind, body = form(self.material.scenes[0], source.choice(["../../../outside/x.jpg", "/etc/x.jpg", "..\\x.jpg",
                                                                  "a/../../b.jpg", "photo.jpg"]))
        body = body.replace(b'name="file"', b'name="files"')
        answer = self._requests.post(f"{self.address}/en/gradio_api/upload", data=body, timeout=STUCK_SECONDS,
                                     headers={"Content-Type": kind.decode()})
        self._expect(answer, 200)
        stray = [path.name for path in self.server.outside.iterdir() if path.name != "secret.txt"]
        if stray or not answer.json()[0].startswith(str(self.server.folder)):
            raise Wrong(f"an upload of the page went to {answer.text} {stray}")

    # Helpers

    def _post(self, path: str, **options):
        return self._requests.post(f"{self.address}/api/v1/{path}", timeout=STUCK_SECONDS, **options)

    def _send(self, path: str, content: bytes):
        return self._post(path, files={"file": ("photo.jpg", content)})

    def _state(self, job: dict) -> dict:
        return self._json(self._requests.get(f"{self.address}/api/v1/jobs/{job['id']}", timeout=STUCK_SECONDS), 200)

    def _post_bytes(self, path: str, content: bytes) -> bytes:
        kind, body = form(content)
        return (b"POST /api/v1/" + path.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: " +
                kind + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def _raw(self, data: bytes, pieces: int = 1, pause: float = 0.0, answer: bool = True) -> bytes:
        """Sends bytes over a socket, in `pieces` with pauses between; what comes back until the server closes."""
        step = -(-len(data) // pieces)
        with socket.create_connection(self.server.place, STUCK_SECONDS) as client:
            for at in range(0, len(data), step):
                client.sendall(data[at:at + step])
                if at + step < len(data) or not answer:
                    time.sleep(pause)
            received = b""
            while answer and (more := client.recv(1 << 16)):
                received += more
        return received

    @staticmethod
    def _status(answer: bytes) -> int:
        found = re.match(rb"HTTP/1\.1 (\d+)", answer)
        return int(found[1]) if found else 0

    def _expect_raw(self, answer: bytes, allowed: tuple[int, ...]) -> None:
        if self._status(answer) not in allowed:
            raise Wrong(f"answered with {answer[:200]!r}")
        if self._status(answer) == 503:
            raise Busy

    def _expect(self, answer, status: int, kind: str = "") -> None:
        if answer.status_code == 503 and "retry-after" in answer.headers:
            raise Busy
        if answer.status_code != status or not answer.headers["content-type"].startswith(kind):
            raise Wrong(f"{answer.url} is answered with {answer.status_code}: {answer.text[:200]}")

    def _json(self, answer, status: int) -> dict:
        self._expect(answer, status)
        return answer.json()

    def _refused(self, answer, status: int, code: str) -> None:
        self._expect(answer, status)
        message = answer.json()["error"]["message"]
        if answer.json()["error"]["code"] != code or "\n" in message or "/tmp" in message:
            raise Wrong(f"{answer.url} is refused with {answer.text[:200]} instead of {code}")


class Busy(Exception):
    """The queue was full, and the server said when to come back."""


def files_elsewhere(server: Server) -> Iterator[str]:
    """Addresses of files outside the folders that are served."""
    secret, examples = server.outside / "secret.txt", EXAMPLES
    page = next(server.folder.glob("ppgan_apps-serve-*/page"))
    link = page / "link.txt"
    if not link.is_symlink():
        try:
            link.symlink_to(secret)
        except FileExistsError:                                # another user was faster
            pass
    targets = [secret, Path("/etc/passwd"), ROOT / "setup.py", link]
    for base in ("/en/gradio_api/file=", "/zh/gradio_api/file=", "/gradio_api/file=", "/en/file=",
                 "/en/gradio_api/file/"):
        for target in targets:
            yield f"{base}{target}"
            yield base + quote(str(target), safe="")
            yield base + quote(quote(str(target), safe=""), safe="")
        steps = "/.." * len(examples.parts)
        yield f"{base}{examples}{steps}/etc/passwd"
        yield f"{base}{examples}{quote(steps, safe='')}%2fetc%2fpasswd"
        yield f"{base}{examples}/../../../setup.py"
        yield f"{base}{page}/../../../outside/secret.txt"
        yield f"{base}..{steps}/etc/passwd"
        yield f"{base}secret.txt"
        yield f"{base}file:///etc/passwd"
        yield f"{base}\\etc\\passwd"
        yield f"{base}/etc/passwd%00.jpg"
        yield f"{base}/proc/self/environ"
        yield f"{base}//etc/passwd"
        yield f"{base}http://127.0.0.1:{server.place[1]}/metrics"
    for base in ("/", "/en/", "/en/static/", "/en/assets/", "/en/gradio_api/", "/api/v1/", "/api/v1/jobs/"):
        for step in ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "%252e%252e%252f", "..\\", "..%5c", ".../", "..;/"):
            yield f"{base}{step * 12}etc/passwd"
    yield "/api/v1/jobs/..%2f..%2f..%2fetc%2fpasswd/result"
    yield "/en/gradio_api/stream/../../etc/passwd"


WEIGHTS: dict[str, int] = {
    "look_at_a_page": 24, "draw_an_avatar": 14, "draw_a_scene": 10, "draw_a_drawing": 3, "draw_a_portrait": 2,
    "draw_a_big_picture": 1, "fetch_later": 3, "never_fetch": 2, "trickle": 4, "vanish_while_sending": 5,
    "vanish_before_the_answer": 5, "vanish_in_the_answer": 4, "say_nothing": 3, "cancel": 3, "no_face": 2,
    "too_many_pixels": 5, "too_many_bytes": 3, "no_picture": 5, "no_such_thing": 4, "ask_for_files": 3,
    "upload_to_the_page": 2,
}


# ---------------------------------------------------------------------------------------------------------------------
# The hour
# ---------------------------------------------------------------------------------------------------------------------
class Hour:
    """Users that come and go until the time is over, and what was seen meanwhile."""

    def __init__(self, server: Server, seconds: float, count: int, share: float, tell: Callable[[str], None]):
        self.server, self.seconds, self.count, self.share, self.tell = server, seconds, count, share, tell
        self.users = Users(server, Material())
        self.done: Counter[str] = Counter()
        self.busy: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.longest: dict[str, float] = {}
        self.samples: list[dict[str, float]] = []
        self._pause = count * 0.5                              # mean seconds between two requests of one user
        self._lock = threading.Lock()

    def run(self) -> None:
        self._begun = time.monotonic()
        threads = [threading.Thread(target=self._use, args=(number,), daemon=True) for number in range(self.count)]
        for thread in threads:
            thread.start()
        while time.monotonic() - self._begun < self.seconds and self.server.process.poll() is None:
            self._look()
            time.sleep(SAMPLE_SECONDS)
        for thread in threads:
            thread.join(2 * STUCK_SECONDS)
        self.stuck = sum(thread.is_alive() for thread in threads)
        self._look()

    def _use(self, number: int) -> None:
        source = random.Random(number)
        names, weights = list(WEIGHTS), list(WEIGHTS.values())
        while (left := self.seconds - (time.monotonic() - self._begun)) > 0:
            time.sleep(min(left, source.expovariate(1 / self._pause)))
            name = source.choices(names, weights)[0]
            begun = time.monotonic()
            try:
                getattr(self.users, name)(source)
                self._note(name, time.monotonic() - begun)
            except Busy:
                with self._lock:
                    self.busy[name] += 1
            # Whatever befalls a request is told at the end; the other users go on.
            except Exception as error:
                with self._lock:
                    self.wrong.append(f"{name} after {time.monotonic() - begun:.1f} s: {type(error).__name__}: {error}")
                self.tell(self.wrong[-1])

    def _note(self, name: str, seconds: float) -> None:
        with self._lock:
            self.done[name] += 1
            self.longest[name] = max(seconds, self.longest.get(name, 0.0))

    def _look(self) -> None:
        """Takes a sample; users that keep the server too busy wait longer from now on."""
        sample = {"at": time.monotonic() - self._begun, **self.server.sample()}
        if self.samples:
            before = self.samples[-1]
            used = (sample["cpu"] - before["cpu"]) / (sample["at"] - before["at"])
            self._pause *= min(1.3, max(0.8, used / self.share))
            self._pause = min(max(self._pause, self.count / MOST_PER_SECOND), 60.0)
        self.samples.append(sample)
        self.tell(f"{sample['at']:.0f} s: {sum(self.done.values())} requests, {len(self.wrong)} wrong, "
                  f"{sample['rss']:.0f} MB, {sample['open']} open files, {sample['files']} on the disk, "
                  f"{sample['cpu']:.0f} s of processor time, pause {self._pause:.1f} s")

    def report(self) -> dict:
        """The figures; the slope is that of a straight line through the samples after the first quarter."""
        import numpy as np
        late = [sample for sample in self.samples if sample["at"] >= WARM_SHARE * self.seconds]
        hours, memory = (np.array([sample[key] for sample in late]) for key in ("at", "rss"))
        slope = float(np.polyfit(hours / 3600, memory, 1)[0]) if len(late) > 2 else float("nan")
        last = self.samples[-1]
        return {"what": "load", "date": time.strftime("%Y-%m-%d", time.gmtime()), "minutes": round(last["at"] / 60, 1),
                "users": self.count, "requests": dict(sorted(self.done.items())), "busy": sum(self.busy.values()),
                "files_asked_for": self.done["ask_for_files"] * FILES_AT_A_TIME,
                "wrong": len(self.wrong), "stuck": self.stuck,
                "longest_seconds": round(max(self.longest.values(), default=0), 1),
                "rss_first_mb": round(late[0]["rss"]), "rss_last_mb": round(last["rss"]),
                "rss_most_mb": round(max(sample["rss"] for sample in self.samples)),
                "slope_mb_per_hour": round(slope, 1), "slope_minutes": round((last["at"] - late[0]["at"]) / 60, 1),
                "open_files_most": int(max(sample["open"] for sample in self.samples)),
                "files_on_disk_most": int(max(sample["files"] for sample in self.samples)),
                "cpu_share": round(last["cpu"] / last["at"], 2)}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--users", type=int, default=24, help="at the same time (default: 24)")
    parser.add_argument("--share", type=float, default=0.4, help="of a processor core for the server (default: 0.4)")
    parser.add_argument("--samples", type=Path, help="a file for what was noted every ten seconds")
    options = parser.parse_args(argv)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    print(f"limit of open files: {files[0]}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="load_web_") as folder:
        server = Server(Path(folder))
        hour = Hour(server, options.minutes * 60, options.users, options.share,
                    lambda text: print(text, file=sys.stderr, flush=True))
        try:
            hour.run()
            report = {**hour.report(), "faults_in_log": server.errors().count("Traceback")}
        finally:
            ending = server.end()
            if server.errors():
                print(server.errors()[-4000:], file=sys.stderr, flush=True)
    report["ending"] = ending or "clean"
    if options.samples:
        options.samples.write_text("".join(json.dumps(sample) + "\n" for sample in hour.samples))
    print(json.dumps(report), flush=True)
    return 1 if hour.wrong or hour.stuck or ending else 0


EPILOG = """examples:
  python tools/load_web.py                                 # an hour
  python tools/load_web.py --minutes 2 --users 6
"""

if __name__ == "__main__":
    sys.exit(main())
