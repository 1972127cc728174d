"""A server for tests: uvicorn in a thread, on a free port of the loopback, and pictures to send it."""
import io
import threading
import time
from contextlib import contextmanager

import numpy as np
import requests
from PIL import Image

from ppgan_apps.web.service import Service, Settings


@contextmanager
def running(folder, settings=None, has_pages=False):
    """(address, service) of a server that works in a thread of this process."""
    import uvicorn

    from ppgan_apps.web.app import create
    folder.mkdir(exist_ok=True)
    service = Service(settings or Settings(), folder)
    server = uvicorn.Server(uvicorn.Config(create(service, has_pages), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", service
    finally:
        server.should_exit = True
        thread.join(30)
        service.close()


def wait_for(condition, seconds=60):
    """What `condition` gives as soon as that is true."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    return found


def person(side=256):
    """A photo with one face, uint8 RGB."""
    import skimage.data
    return np.asarray(Image.fromarray(skimage.data.astronaut()).resize((side, side)))


def png(picture, suffix="PNG"):
    """The bytes of a picture file."""
    data = io.BytesIO()
    Image.fromarray(picture).save(data, suffix)
    return data.getvalue()


def picture_of(answer):
    """uint8 RGB of an answer that is a picture."""
    assert answer.status_code == 200, answer.text[:300]
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))


def error_of(answer, code, status=422):
    """The sentence of an answer that refuses, for the reason `code`."""
    assert answer.status_code == status and answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert error["code"] == code and set(error) == {"code", "message"}
    assert "\n" not in error["message"] and "Traceback" not in error["message"] and "/tmp" not in error["message"]
    return error["message"]


def send(address, path, content, **options):
    """POSTs a file."""
    return requests.post(f"{address}/api/v1/{path}", files={"file": ("photo.png", content)}, timeout=120, **options)
