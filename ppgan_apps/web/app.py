"""The whole server as one FastAPI application: pages at /en and /zh, the API at /api/v1, its reference at /api/docs."""
from __future__ import annotations

from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from . import api, reference
from .door import Door
from .front import Front
from .service import Service
from .texts import LANGUAGES, choose


def create(service: Service, has_pages: bool = True) -> FastAPI:
    """The application; when it ends, the service's jobs do. Without pages it needs no Gradio."""
    @asynccontextmanager
    async def lifespan(app: FastAPI):
        yield
        service.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    interface = api.create(service)
    app.mount(api.PREFIX, interface)
    _add_addresses(app, service, interface, has_pages)
    if has_pages:
        from . import pages
        for language in LANGUAGES:
            pages.mount(app, service, language, f"/{language}")
        app.add_middleware(Front)
    app.add_middleware(Door, service=service)
    return app


def _add_addresses(app: FastAPI, service: Service, interface: FastAPI, has_pages: bool) -> None:
    """The short addresses: / in the reader's language, /health and /metrics where such things are looked for."""
    @app.get("/")
    async def home(request: Request):
        language = choose(request.query_params.get("lang"), request.headers.get("accept-language"))
        return RedirectResponse(f"/{language}/" if has_pages else "/api/docs", 307, {"Vary": "Accept-Language"})

    @app.get("/api/docs")
    async def docs() -> HTMLResponse:
        return HTMLResponse(reference.page(interface.openapi(), api.PREFIX))

    @app.get("/health")
    async def health() -> JSONResponse:
        waiting, running = service.queue.counts()
        return JSONResponse({"status": "ok", "waiting": waiting, "running": running})

    @app.get("/metrics")
    async def metrics() -> Response:
        content, media_type = service.measures.text()
        return Response(content, headers={"Content-Type": media_type})

    # Gradio's pages name it at the root wherever they are mounted.
    @app.get("/manifest.json")
    async def manifest() -> JSONResponse:
        return JSONResponse({"name": "ppgan_apps", "start_url": "/", "display": "browser"})

    # Gradio's pages ask there for an example that was clicked, without the path that they are mounted at.
    @app.get("/gradio_api/{rest:path}")
    async def file_of_a_page(rest: str) -> RedirectResponse:
        return RedirectResponse(f"/{LANGUAGES[0]}/gradio_api/{rest}", 307)

    @app.get("/favicon.ico")
    async def icon() -> Response:
        return Response(reference.ICON, media_type="image/svg+xml")
