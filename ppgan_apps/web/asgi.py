"""What an ASGI server, an application and the middleware between them hand each other."""
from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]                               # of a request: type, path, method, headers ...
Message = MutableMapping[str, Any]                             # a piece of a request's body, or of an answer
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
