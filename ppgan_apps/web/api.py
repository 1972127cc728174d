"""The HTTP API, /api/v1: the same work, queue and limits as the pages; errors are JSON with one sentence."""
# No `from __future__ import annotations`: FastAPI reads the annotations of the functions within `create`.
import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from fastapi import BackgroundTasks, Body, FastAPI, File, Form, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, Field

from .. import __version__, zoo
from ..errors import SuiteError
from .drawing import Drawn
from .faults import REFUSED, Fault, Refusal, fault_of, too_many_bytes
from .jobs import DONE, FINISHED, WAITING, Job
from .service import Service
from .texts import choose, text

PREFIX = "/api/v1"
PATIENCE = 0.25                                                # seconds between looks at whether a client has gone
PICTURE, CLIP = {"image/png": {}}, {"video/mp4": {}}
SEED = {"ge": 0, "lt": 2**32}
ABOUT = """\
Portrait and anime GANs. Each request that draws goes through one bounded queue and answers with the picture, or with
`?wait=false` at once with a job whose state, position and result can be asked for and which can be cancelled. A client
that closes its connection cancels its job. Uploads are removed when the work ends. Errors are
`{"error": {"code": ..., "message": ...}}`, the message one sentence in English or, with `?lang=zh` or
`Accept-Language: zh`, Chinese."""


class Problem(BaseModel):
    """Why a request was not served."""
    code: str = Field(description="for programs: no_face, too_many_pixels, queue_full ...")
    message: str = Field(description="for people: one sentence")


class Refused(BaseModel):
    """The answer to a request that is not served."""
    error: Problem


class State(BaseModel):
    """A job."""
    id: str
    kind: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    position: int = Field(description="jobs before it in the line")
    drawn: int = Field(description="pictures or frames that are finished")
    total: int | None = Field(description="of how many, where that is known")
    seconds: float = Field(description="how long it has been worked at")
    result: str | None = Field(description="where its result is, once it is done")
    error: Problem | None = Field(description="why it has none, where it failed or was cancelled")


class Weights(BaseModel):
    """A weight file."""
    name: str
    licence: str
    source: str
    bytes: int | None
    embedded: bool = Field(description="it is part of the package")
    available: bool = Field(description="it is on this server, so that its name's second half is a style")


class Health(BaseModel):
    """That the server works, and how busy it is."""
    status: Literal["ok"]
    version: str
    waiting: int
    running: int


class Sample(BaseModel):
    """A sheet of avatars."""
    seeds: list[Annotated[int, Field(**SEED)]] = Field(min_length=1, examples=[[1, 2, 3, 4]])
    truncation: float = Field(0.7, ge=0, le=2, description="how far from the mean: 0 none, 1 as drawn")
    columns: int = Field(4, ge=1, description="pictures in a row")
    side: int = Field(256, ge=32, le=512, description="pixels of each picture")
    style: str | None = Field(None, description="weights; see /models")


class Mixture(BaseModel):
    """An avatar with another's styles; the answer shows the first, the mixture and the second side by side."""
    first: int = Field(**SEED)
    second: int = Field(**SEED)
    coarse: float = Field(0.0, ge=0, le=1, description="the second's share in the layers of 4 and 8 pixels")
    middle: float = Field(0.0, ge=0, le=1, description="in those of 16 and 32")
    fine: float = Field(1.0, ge=0, le=1, description="in those from 64 on")
    truncation: float = Field(0.7, ge=0, le=2)
    side: int = Field(256, ge=32, le=512)
    style: str | None = None


class Sweep(BaseModel):
    """An avatar while one number of its latent goes from -3 to 3."""
    seed: int = Field(**SEED)
    coordinate: int = Field(0, ge=0)
    space: Literal["z", "w", "direction"] = "direction"
    count: int = Field(8, ge=2, le=16)
    columns: int = Field(4, ge=1, le=16)
    truncation: float = Field(0.7, ge=0, le=2)
    style: str | None = None


Upload = Annotated[UploadFile, File(description="the picture: PNG, JPEG, WebP, BMP, TIFF or GIF")]
Film = Annotated[UploadFile, File(description="the video: MP4, MOV, MKV, WebM and what else FFmpeg reads")]
Style = Annotated[str | None, Form(description="weights by the second half of their name; see /models")]
Faces = Annotated[Literal["largest", "all"], Form(description="which faces are drawn")]
Smooth = Annotated[float, Form(ge=0, le=0.9, description="share of the frame before in each, against flicker")]
Wait = Annotated[bool, Query(description="false: answer at once with the job")]
Language = Annotated[str | None, Query(alias="lang", description="of error messages: en or zh")]


def create(service: Service) -> FastAPI:
    """The API's application, to be mounted under `PREFIX`."""
    app = FastAPI(title="ppgan_apps", version=__version__, description=ABOUT, docs_url=None, redoc_url=None)
    _add_error_handlers(app)
    _add_drawing(app, service)
    _add_jobs(app, service)
    _add_facts(app, service)
    return app


# Work

def _answers(kind: dict, *codes: int) -> dict:
    described = {200: {"content": kind, "description": "The result; X-Weights and X-Licence say whose weights drew it"},
                 202: {"model": State, "description": "With wait=false: the job"}}
    reasons = {413: "The upload has too many bytes, pixels or frames", REFUSED: "The upload or a value cannot be used",
               501: "A package is missing on the server", 503: "The queue is full: Retry-After says when to come back",
               504: "The work took too long"}
    return described | {code: {"model": Refused, "description": reasons[code]} for code in codes}


OF_UPLOADS, OF_CLIPS, OF_NUMBERS = (413, REFUSED, 503, 504), (413, REFUSED, 501, 503, 504), (REFUSED, 503, 504)


def _add_drawing(app: FastAPI, service: Service) -> None:
    studio = service.studio
    plain = {"response_class": Response}

    @app.post("/photo2cartoon", responses=_answers(PICTURE, *OF_UPLOADS), tags=["pictures"], **plain)
    async def photo2cartoon(request: Request, file: Upload, faces: Faces = "largest", style: Style = None,
                            paste_back: Annotated[bool, Form(description="answer the photo with its faces drawn")]
                            = False, wait: Wait = True, lang: Language = None):
        """A portrait photo as a cartoon on white; all faces side by side with `faces=all`."""
        return await _serve(service, request, "photo2cartoon", file, wait, lambda job: studio.cartoon(
            job, job.upload, faces, paste_back, style))

    @app.post("/photo2cartoon/video", responses=_answers(CLIP, *OF_CLIPS), tags=["videos"], **plain)
    async def photo2cartoon_video(request: Request, file: Film, faces: Faces = "all", smooth: Smooth = 0.0,
                                  style: Style = None, wait: Wait = True, lang: Language = None):
        """A video with its faces drawn, its sound kept."""
        return await _serve(service, request, "photo2cartoon_video", file, wait, lambda job: studio.clip(
            job, job.upload, "photo2cartoon", style, smooth, faces=faces))

    @app.post("/anime2real", responses=_answers(PICTURE, *OF_UPLOADS), tags=["pictures"], **plain)
    async def anime2real(request: Request, file: Upload, style: Style = None, wait: Wait = True,
                         lang: Language = None):
        """A drawn face as a photo-like one."""
        return await _serve(service, request, "anime2real", file, wait,
                            lambda job: studio.real(job, job.upload, style))

    @app.post("/animeganv2", responses=_answers(PICTURE, *OF_UPLOADS), tags=["pictures"], **plain)
    async def animeganv2(request: Request, file: Upload, style: Style = None, wait: Wait = True, lang: Language = None,
                         adjust_brightness: Annotated[bool, Form(description="keep the photo's brightness")] = True):
        """A photo as anime, of the same size; a large one is made smaller."""
        return await _serve(service, request, "animeganv2", file, wait, lambda job: studio.anime(
            job, job.upload, style, adjust_brightness))

    @app.post("/animeganv2/video", responses=_answers(CLIP, *OF_CLIPS), tags=["videos"], **plain)
    async def animeganv2_video(request: Request, file: Film, smooth: Smooth = 0.0, style: Style = None,
                               wait: Wait = True, lang: Language = None):
        """A video as anime, its sound kept."""
        return await _serve(service, request, "animeganv2_video", file, wait, lambda job: studio.clip(
            job, job.upload, "animeganv2", style, smooth))

    @app.post("/stylegan2/sample", responses=_answers(PICTURE, *OF_NUMBERS), tags=["avatars"], **plain)
    async def stylegan2_sample(request: Request, wish: Annotated[Sample, Body()], wait: Wait = True,
                               lang: Language = None):
        """A sheet with the avatar of each seed."""
        return await _serve(service, request, "stylegan2_sample", None, wait,
                            lambda job: studio.avatars(job, **dict(wish)))

    @app.post("/stylegan2/mix", responses=_answers(PICTURE, *OF_NUMBERS), tags=["avatars"], **plain)
    async def stylegan2_mix(request: Request, wish: Annotated[Mixture, Body()], wait: Wait = True,
                            lang: Language = None):
        """Two avatars, and between them the first with the second's styles."""
        return await _serve(service, request, "stylegan2_mix", None, wait,
                            lambda job: studio.mixture(job, **dict(wish)))

    @app.post("/stylegan2/sweep", responses=_answers(PICTURE, *OF_NUMBERS), tags=["avatars"], **plain)
    async def stylegan2_sweep(request: Request, wish: Annotated[Sweep, Body()], wait: Wait = True,
                              lang: Language = None):
        """An avatar while one number of its latent changes."""
        return await _serve(service, request, "stylegan2_sweep", None, wait,
                            lambda job: studio.sweep(job, **dict(wish)))


async def _serve(service: Service, request: Request, kind: str, file: UploadFile | None, wait: bool,
                 work: Callable[[Job], Drawn]) -> Response:
    """Puts the work into the line; answers with its result or, without waiting, with the job."""
    queue = service.queue
    job = queue.new_job(kind)
    job.is_held = wait
    if file is not None:
        try:
            if file.size is not None and file.size > service.limits.upload:
                raise too_many_bytes(service.limits.upload)
            job.upload = job.folder / "upload"
            await asyncio.to_thread(_save, file, job.upload)
        except BaseException:                                  # also when the server stops meanwhile
            job.close()
            raise
    queue.submit(job, work)
    if not wait:
        return JSONResponse(_state(service, job, _language(request)).model_dump(), 202)
    try:
        drawn = await _waited(service, request, job)
    except BaseException:
        queue.drop(job)
        raise
    after = BackgroundTasks()
    after.add_task(queue.forget, job)
    return _file(job, drawn, after)


async def _waited(service: Service, request: Request, job: Job) -> Drawn:
    """The job's result; a client that goes away cancels it."""
    ended = asyncio.wrap_future(job.future)
    while not (await asyncio.wait({ended}, timeout=PATIENCE))[0]:
        if await request.is_disconnected():
            service.queue.cancel(job)
    return ended.result()


def _save(file: UploadFile, path: Path) -> None:
    with open(path, "wb") as copy:
        shutil.copyfileobj(file.file, copy)


def _file(job: Job, drawn: Drawn, after: BackgroundTasks | None = None) -> Response:
    headers = {"X-Job": job.id, "X-Weights": drawn.weights, "X-Licence": drawn.licence,
               "X-Seconds": f"{job.seconds:.3f}", "Cache-Control": "no-store"}
    plain = {key: value.encode("ascii", "replace").decode() for key, value in headers.items()}
    return FileResponse(drawn.after, media_type=drawn.media_type, headers=plain,
                        filename=f"{job.kind}{drawn.after.suffix}", background=after)


# Jobs

def _state(service: Service, job: Job, language: str) -> State:
    error = job.future.exception() if job.future.done() else None
    fault = fault_of(error, language) if error is not None else None
    drawn, total = job.progress
    return State(id=job.id, kind=job.kind, state=job.state, drawn=drawn, total=total, seconds=round(job.seconds, 3),
                 position=service.queue.position(job) if job.state == WAITING else 0,
                 result=f"{PREFIX}/jobs/{job.id}/result" if job.state == DONE else None,
                 error=Problem(code=fault.code, message=fault.message) if fault else None)


def _add_jobs(app: FastAPI, service: Service) -> None:
    unknown = {404: {"model": Refused, "description": "There is no such job, or it has expired"}}

    @app.get("/jobs/{job_id}", responses=unknown, tags=["jobs"])
    async def job_state(request: Request, job_id: str, lang: Language = None) -> State:
        """A job's state and its position in the line."""
        return _state(service, service.queue.get(job_id), _language(request))

    of_results = {200: {"content": PICTURE | CLIP, "description": "The result"},
                  409: {"model": Refused, "description": "It is not finished, or was cancelled"}} | unknown

    @app.get("/jobs/{job_id}/result", response_class=Response, tags=["jobs"], responses=of_results)
    async def job_result(job_id: str, lang: Language = None):
        """What a job made; kept for some minutes. Where it failed, the error that it failed with."""
        job = service.queue.get(job_id)
        if not job.future.done():
            raise Refusal("not_finished", 409)
        return _file(job, job.future.result())

    @app.delete("/jobs/{job_id}", responses=unknown, tags=["jobs"])
    async def cancel_job(request: Request, job_id: str, lang: Language = None) -> State:
        """Cancels a job: one that waits leaves the line, one that runs stops before its next picture or frame. Of a
        finished one the result is removed."""
        job = service.queue.get(job_id)
        if job.state in FINISHED:
            service.queue.forget(job)
        else:
            service.queue.cancel(job)
        return _state(service, job, _language(request))


# Facts

def _add_facts(app: FastAPI, service: Service) -> None:
    @app.get("/models", tags=["server"])
    async def models() -> list[Weights]:
        """Every weight file that the suite knows, with its licence."""
        return [Weights(name=record.name, licence=record.licence, source=record.source, bytes=record.size or None,
                        embedded=record.embedded, available=record.available()) for record in zoo.records()]

    @app.get("/health", tags=["server"])
    async def health() -> Health:
        """That the server answers, and how many jobs wait and run."""
        waiting, running = service.queue.counts()
        return Health(status="ok", version=__version__, waiting=waiting, running=running)

    @app.get("/metrics", tags=["server"], response_class=Response,
             responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format"}})
    async def metrics():
        """Requests, jobs, seconds, the line and the process's memory, for Prometheus."""
        content, media_type = service.measures.text()
        return Response(content, headers={"Content-Type": media_type})


# Errors

def _language(request: Request) -> str:
    return choose(request.query_params.get("lang"), request.headers.get("accept-language"))


def refused(fault: Fault) -> JSONResponse:
    """The answer that tells of a fault."""
    headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else None
    return JSONResponse({"error": {"code": fault.code, "message": fault.message}}, fault.status, headers)


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(SuiteError)
    @app.exception_handler(Exception)
    async def of_work(request: Request, error: Exception):
        return refused(fault_of(error, _language(request)))

    @app.exception_handler(RequestValidationError)
    async def of_values(request: Request, error: RequestValidationError):
        first = error.errors()[0]
        place = [part for part in first["loc"] if part not in ("body", "query", "path")]
        names = [str(part) for part in place if first["type"] != "json_invalid"]
        language, name = _language(request), ".".join(names) or "The body"
        if place == ["file"]:
            return refused(fault_of(Refusal("no_file"), language))
        detail = first["msg"].replace("Input should", "it should").replace("JSON decode error", "it is not JSON")
        return refused(fault_of(Refusal("bad_field", name=name, detail=detail), language))

    def of_address(code: str, status: int):
        async def answer(request: Request, error: Exception):
            return refused(Fault(status, code, text(f"fault.{code}", _language(request))))
        return answer
    app.add_exception_handler(404, of_address("not_found", 404))
    app.add_exception_handler(405, of_address("wrong_method", 405))
