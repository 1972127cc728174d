"""The pages' HTML on its way out: our head comes before Gradio's scripts, which look at the browser's language at once.
"""
from __future__ import annotations

import re
from typing import Any

from .asgi import Application, Message, Receive, Scope, Send
from .look import head
from .texts import LANGUAGES, TAGS

# Gradio describes itself to other sites there, with a picture from elsewhere.
OWN_WORDS = re.compile(rb'\s*<meta\s+(?:property|name)="(?:og|twitter):[^>]*>')


class Front:
    """ASGI middleware around the pages."""

    def __init__(self, app: Application):
        self._app = app
        self._pages = {f"/{language}/": language for language in LANGUAGES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        language = self._pages.get(scope.get("path", ""))
        if scope["type"] != "http" or language is None or scope["method"] != "GET":
            return await self._app(scope, receive, send)
        plain = [entry for entry in scope["headers"] if entry[0] != b"accept-encoding"]   # it is to be read here
        start: dict[str, Any] = {}
        body = b""

        async def take(message: Message) -> None:
            nonlocal body
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body += message.get("body", b"")
        await self._app({**scope, "headers": plain}, receive, take)
        body = with_head(body, language)
        headers = [entry for entry in start["headers"] if entry[0].lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def with_head(page: bytes, language: str) -> bytes:
    """Gradio's page, in that language and with our head."""
    page = OWN_WORDS.sub(b"", page)
    page = re.sub(rb'lang="en"', f'lang="{TAGS[language]}"'.encode(), page, count=1)
    return page.replace(b"<head>", b"<head>" + head(language).encode(), 1)
