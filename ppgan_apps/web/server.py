"""The command `ppgan-apps serve`: options, the socket, a folder for temporary files, and the end of all of it."""
from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..cli import natural, positive
from ..errors import ConfigError, MissingExtra, SuiteError

if TYPE_CHECKING:                                              # its imports are made after Gradio's settings
    from .service import Settings

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8000
MEGA = 1_000_000
FAREWELL_SECONDS = 3                                           # that open pages may keep a server that was told to end
ABOUT = "Pages in a browser and an HTTP API for all predictors, in English and Chinese; needs no network."
EXAMPLES = """\
examples:
  ppgan-apps serve                                       then open http://127.0.0.1:8000
  ppgan-apps serve --port 9000 --device gpu              one GPU
  ppgan-apps serve --host 0.0.0.0 --max-upload 8 --max-seconds 60 --queue 20
                                                         for everybody who can reach this machine
  curl -F file=@photo.jpg http://127.0.0.1:8000/api/v1/photo2cartoon -o cartoon.png

The API's reference is at /api/docs, its schema at /api/v1/openapi.json, what Prometheus reads at /metrics. Uploads and
results lie in a temporary folder: those of the API go when their work ends (results of wait=false, and the files of an
open page, after --keep minutes), all of them when the server ends."""


def main(argv: list[str], prog: str = "ppgan-apps serve") -> int:
    """Serves until SIGINT or SIGTERM. Raises ConfigError, MissingExtra."""
    arguments = _parser(prog).parse_args(argv)
    from .service import PAGE_FOLDER
    settings = _settings(arguments)
    # Gradio reads these when it is imported: it is to ask nobody for anything, and to keep no history in browsers.
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_RUN_HISTORY="False", GRADIO_MCP_SERVER="False",
                      HF_HUB_OFFLINE="1")
    with tempfile.TemporaryDirectory(prefix="ppgan_apps-serve-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder, PAGE_FOLDER))
        _check_extra(arguments.pages)
        return _serve(settings, Path(folder), arguments)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=ABOUT, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default=DEFAULT_HOST, help="the address to listen at; 0.0.0.0 for all of this "
                        f"machine's (default: {DEFAULT_HOST}, which only this machine reaches)")
    parser.add_argument("--port", type=natural, default=DEFAULT_PORT, help="0 takes a free one (default: "
                        f"{DEFAULT_PORT})")
    parser.add_argument("--no-pages", dest="pages", action="store_false", help="the API only")
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu or gpu:N (default: auto)")
    parser.add_argument("--concurrency", type=positive, default=1, metavar="JOBS",
                        help="jobs worked at together, of different models (default: 1)")
    parser.add_argument("--queue", type=positive, default=64, metavar="JOBS",
                        help="jobs that may wait; more are told to come back later (default: 64)")
    limits = parser.add_argument_group("limits of one request")
    limits.add_argument("--max-upload", type=amount, default=20, metavar="MB", help="bytes (default: 20)")
    limits.add_argument("--max-pixels", type=amount, default=24, metavar="MILLIONS",
                        help="pixels of a picture or a frame (default: 24)")
    limits.add_argument("--max-side", type=positive, default=1024, metavar="PIXELS",
                        help="longest side that is drawn; larger pictures are made smaller (default: 1024)")
    limits.add_argument("--max-video-side", type=positive, default=640, metavar="PIXELS",
                        help="the same of videos (default: 640)")
    limits.add_argument("--max-frames", type=positive, default=600, help="of a video (default: 600)")
    limits.add_argument("--max-seconds", type=amount, default=300, metavar="SECONDS",
                        help="that a job may take once begun (default: 300)")
    limits.add_argument("--keep", type=amount, default=10, metavar="MINUTES",
                        help="that results and the files of an open page are kept (default: 10)")
    return parser


def amount(text: str) -> float:
    """A number above 0, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0")
    return value


def _settings(arguments: argparse.Namespace) -> Settings:
    from ..predictors.animeganv2 import SHORT_SIDE
    from .limits import Limits
    from .service import Settings
    if min(arguments.max_side, arguments.max_video_side) < SHORT_SIDE:
        raise ConfigError(f"--max-side and --max-video-side are at least {SHORT_SIDE}: give larger ones.")
    if arguments.port > 65535:
        raise ConfigError(f"There is no port {arguments.port}: use one from 1 to 65535, or 0 for a free one.")
    limits = Limits(round(arguments.max_upload * MEGA), round(arguments.max_pixels * MEGA), arguments.max_side,
                    arguments.max_video_side, arguments.max_frames, arguments.max_seconds)
    return Settings(arguments.device, limits, arguments.queue, arguments.concurrency, arguments.keep * 60)


def _check_extra(has_pages: bool) -> None:
    try:
        if has_pages:
            import gradio  # noqa: F401
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtra(error.name or "gradio", "web", "ppgan-apps serve") from None


def _serve(settings: Settings, folder: Path, arguments: argparse.Namespace) -> int:
    import uvicorn

    from .. import runtime
    from .app import create
    from .service import Service
    runtime.share_arenas()                                     # every request has a thread of its own
    runtime.device(settings.device)                            # a device that is not there is told before anything
    listening = _listen(arguments.host, arguments.port)
    service = Service(settings, folder)
    runtime.import_paddle()                                    # later it would put its own handler in this one's place
    before = signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        config = uvicorn.Config(create(service, arguments.pages), log_level="warning", access_log=False,
                                timeout_graceful_shutdown=FAREWELL_SECONDS)
        _tell(arguments.host, listening.getsockname()[1])
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:                                  # uvicorn passes on the signal that ended it
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
        service.close()
        listening.close()
    return 0


def _as_ctrl_c(number: int, frame: object) -> None:
    """SIGTERM ends the server as Ctrl-C does; by itself it would leave the temporary folder behind."""
    raise KeyboardInterrupt


def _listen(host: str, port: int) -> socket.socket:
    """A socket at that address. Raises SuiteError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)                                  # who comes before the server is ready waits
    except OSError as error:
        raise SuiteError(f"Nothing can listen at {host}:{port} ({error.strerror or error}): use another --port or "
                         "--host.") from None
    return listening


def _tell(host: str, port: int) -> None:
    name = f"[{host}]" if ":" in host else host
    print(f"http://{name}:{port}  (pages; the API's reference at /api/docs; Ctrl-C ends the server)", flush=True)
    if not (host.startswith("127.") or host in ("localhost", "::1")):
        print("Everybody who can reach this machine can use it: there are no passwords.", file=sys.stderr, flush=True)
