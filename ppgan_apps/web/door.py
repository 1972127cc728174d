"""What every request passes first: the limit on bytes, a look at the queue before a body is read, headers, counting."""
from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi.responses import PlainTextResponse

from ..errors import SuiteError
from .api import PREFIX, refused
from .asgi import Application, Message, Receive, Scope, Send
from .faults import Refusal, fault_of, too_many_bytes
from .service import Service
from .texts import choose

# Of a multipart body beside the file: borders and the other fields.
FIELDS = 64_000
# A client that is told "too large" should be able to read that, for which its body is taken in and dropped, to a point.
DROPPED = 64_000_000
# In the middle of a body; a slow line still sends something.
SILENCE_SECONDS = 30.0
# A browser then refuses to ask any other server for anything, whatever a page or a library in it may try.
HEADERS = {
    "content-security-policy": "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
                               "style-src 'self' 'unsafe-inline'; frame-ancestors 'self'; form-action 'self'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Door:
    """ASGI middleware around pages and API."""

    def __init__(self, app: Application, service: Service):
        self._app, self._service = app, service
        self._largest = service.limits.upload + FIELDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        answer = _Answer(send)
        is_api = scope["path"].startswith(f"{PREFIX}/")
        await self._through(scope, receive, answer, is_api)
        if is_api:
            self._service.measures.saw_request(_path_of_schema(scope), answer.status)

    async def _through(self, scope: Scope, receive: Receive, answer: _Answer, is_api: bool) -> None:
        body = _Body(receive, self._largest)
        try:
            if scope["method"] == "POST":
                if _content_length(scope) > self._largest:
                    raise too_many_bytes(self._service.limits.upload)
                if is_api:
                    self._service.queue.check_room()
        except SuiteError as error:
            await body.drop()
            return await _refuse(error, scope, receive, answer.send, is_api)
        answer.is_stopped = lambda: body.is_given_up
        await self._app(scope, body.receive, answer.send)
        if body.is_given_up and not answer.status:             # the application saw a client that went away
            answer.is_stopped = lambda: False
            await body.drop()
            refusal = (Refusal("silent", 408, seconds=f"{SILENCE_SECONDS:g}") if body.is_silent else
                       too_many_bytes(self._service.limits.upload))
            await _refuse(refusal, scope, receive, answer.send, is_api)


class _Body:
    """A request's body, which ends as if the client had gone once it is longer than `largest` bytes, or nothing of it
    has come for `SILENCE_SECONDS`."""

    def __init__(self, receive: Receive, largest: int):
        self._receive, self._largest, self._length, self._ended = receive, largest, 0, False
        self.is_silent = False

    @property
    def is_given_up(self) -> bool:
        """Whether it was too long, or stopped coming."""
        return self._length > self._largest or self.is_silent

    async def receive(self) -> Message:
        message = await self._next()
        self._length += len(message.get("body", b""))
        return {"type": "http.disconnect"} if self.is_given_up else message

    async def _next(self) -> Message:
        if self._ended:                                        # what comes now is that the client goes, at any time
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), SILENCE_SECONDS)
        except asyncio.TimeoutError:
            self.is_silent = True
            message = {"type": "http.disconnect"}
        self._ended = not message.get("more_body", False)
        return message

    async def drop(self) -> None:
        """Takes in what is left, as far as `DROPPED`."""
        length = 0
        while not self._ended and length < DROPPED:
            length += len((await self._next()).get("body", b""))


class _Answer:
    """What is sent: the status is noted, our headers are added; nothing while `is_stopped()`."""

    def __init__(self, send: Send):
        self._send, self.status = send, 0
        self.is_stopped: Callable[[], bool] = lambda: False

    async def send(self, message: Message) -> None:
        if self.is_stopped():
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        await self._send(message)


async def _refuse(error: SuiteError, scope: Scope, receive: Receive, send: Send, is_api: bool) -> None:
    """JSON to programs, plain text to the page, which shows it as it is."""
    fault = fault_of(error, _language(scope))
    answer = refused(fault) if is_api else PlainTextResponse(fault.message, fault.status)
    await answer(scope, receive, send)


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _language(scope: Scope) -> str:
    asked = "zh" if b"lang=zh" in scope["query_string"] or scope["path"].startswith("/zh") else None
    return choose(asked, _header(scope, b"accept-language"))


def _content_length(scope: Scope) -> int:
    length = _header(scope, b"content-length")
    return int(length) if length.isdecimal() else 0


def _path_of_schema(scope: Scope) -> str:
    """"/api/v1/jobs/{job_id}", not the address itself: a label for every job would fill the memory."""
    path = getattr(scope.get("route"), "path_format", "")
    return PREFIX + path if path else "other"
