"""The pages: a Gradio application for each language, all of whose work goes through the server's own queue."""
from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI

from .. import zoo
from ..errors import SuiteError
from . import uploads
from .drawing import SPACES, Drawn
from .faults import Refusal, fault_of
from .jobs import RUNNING, Job
from .look import CSS, theme
from .service import Service
from .texts import LANGUAGES, NAMES, text

EXAMPLES = Path(__file__).parent / "examples"
TICK = 0.2                                                     # seconds between looks at a job
SWEEP_SECONDS = 60                                             # between removals of files that nobody uses
LARGEST_SEED = 2**32 - 1
HIDDEN = {"api_visibility": "private", "show_progress": "hidden", "queue": True}


def mount(app: FastAPI, service: Service, language: str, path: str) -> None:
    """Adds the pages of one language to the server."""
    gr.set_static_paths([EXAMPLES])                            # shown from where they are, not from copies that expire
    blocks = Pages(service, language).build()
    # Our own queue says who is served when; this one only carries messages.
    blocks.queue(default_concurrency_limit=None, max_size=None, api_open=False)
    blocks.has_launched = True                                 # else Gradio copies any file that a request names
    gr.mount_gradio_app(app, blocks, path=path, footer_links=[], run_history=False, ssr_mode=False, pwa=False,
                        enable_monitoring=False, mcp_server=False, max_file_size=service.limits.upload,
                        theme=theme(), css=CSS, show_error=True)


class Pages:
    """The tabs in one language."""

    def __init__(self, service: Service, language: str):
        self.service, self.language = service, language
        self.say = partial(text, language=language)

    def build(self) -> gr.Blocks:
        """All tabs, ready to be mounted."""
        say, keep = self.say, max(1, round(self.service.settings.keep))
        with gr.Blocks(title=say("title"), analytics_enabled=False, fill_width=False,
                       delete_cache=(min(SWEEP_SECONDS, keep), keep)) as blocks:
            gr.HTML(self._header(), elem_classes="masthead", padding=False)
            with gr.Tabs(elem_classes="main-tabs"):
                with gr.Tab(say("tab.cartoon"), id="cartoon"):
                    self._cartoon()
                with gr.Tab(say("tab.real"), id="real"):
                    self._picture_panel("real", "anime2real", "drawing", self.service.studio.real, examples="drawing")
                with gr.Tab(say("tab.anime"), id="anime"):
                    self._anime()
                with gr.Tab(say("tab.avatars"), id="avatars"):
                    self._avatars()
                with gr.Tab(say("tab.models"), id="models"):
                    gr.HTML(self._models(), elem_classes="models", padding=False)
            gr.HTML(f"<p class='credit'>{escape(say('credit'))}</p>", padding=False)
        return blocks

    def _header(self) -> str:
        links = [f'<a href="/{other}/" hreflang="{other}" class="language">{NAMES[other]}</a>'
                 for other in LANGUAGES if other != self.language]
        links.append(f'<a href="/api/docs">{escape(self.say("api_link"))}</a>')
        return (f'<header><div><h1>{escape(self.say("heading"))}</h1><p>{escape(self.say("lead"))}</p></div>'
                f'<nav>{"".join(links)}</nav></header>')

    # Tabs

    def _cartoon(self) -> None:
        say, studio = self.say, self.service.studio
        with gr.Tabs(elem_classes="inner-tabs"):
            with gr.Tab(say("tab.picture")):
                choices = [(say("faces.largest"), "largest"), (say("faces.all"), "all"), (say("faces.back"), "back")]

                def draw(job: Job, source: Path, style: str | None, faces: str) -> Drawn:
                    back = faces == "back"
                    return studio.cartoon(job, source, "all" if back else faces, back, style)
                self._picture_panel("cartoon", "photo2cartoon", "photo", draw, examples="portrait",
                                    extras=lambda: [gr.Radio(choices, value="largest", label=say("faces"))])
            with gr.Tab(say("tab.video")):
                choices = [(say("faces.clip_all"), "all"), (say("faces.clip_largest"), "largest")]
                self._clip_panel("cartoon_clip", "photo2cartoon", "about.clip_faces",
                                 extras=lambda: [gr.Radio(choices, value="all", label=say("faces"))])

    def _anime(self) -> None:
        say = self.say
        with gr.Tabs(elem_classes="inner-tabs"):
            with gr.Tab(say("tab.picture")):
                self._picture_panel("anime", "animeganv2", "photo", self.service.studio.anime, examples="scene",
                                    extras=lambda: [gr.Checkbox(True, label=say("brightness"))])
            with gr.Tab(say("tab.video")):
                self._clip_panel("anime_clip", "animeganv2", "about.clip", examples="clip")

    def _avatars(self) -> None:
        say = self.say
        with gr.Tabs(elem_classes="inner-tabs"):
            with gr.Tab(say("tab.draw")):
                self._seed_panel()
            with gr.Tab(say("tab.mix")):
                self._mix_panel()
            with gr.Tab(say("tab.sweep")):
                self._sweep_panel()

    # Panels

    def _picture_panel(self, name: str, family: str, label: str, work: Callable, examples: str,
                       extras: Callable[[], list] = list) -> None:
        """An upload and its options on the left, on the right a line that says what happens, and before and after."""
        say = self.say
        gr.Markdown(say(f"about.{name}", side=self.service.limits.drawn_side))
        with gr.Row(equal_height=False):
            with gr.Column():
                source = uploads.photo(label=say(label), elem_id=f"{name}-input")
                self._examples(source, examples)
                options = [self._style(family), *extras()]
                start, stop = self._buttons(name)
            with gr.Column():
                status = self._status(name)
                result = gr.ImageSlider(label=say("result"), type="filepath", interactive=False, max_height=560,
                                        buttons=["fullscreen"], elem_id=f"{name}-result", format="png")
                download = self._download(name)

        def job_of(path: str | None, *values):
            return lambda job: work(job, self._source(path), *values)

        def shown(drawn: Drawn) -> list:
            return [(str(drawn.before), str(drawn.after)), gr.DownloadButton(value=str(drawn.after), interactive=True)]
        self._connect(name, [source, *options], [result, download], status, start, stop, job_of, shown)

    def _clip_panel(self, name: str, family: str, about: str, examples: str | None = None,
                    extras: Callable[[], list] = list) -> None:
        say, limits = self.say, self.service.limits
        gr.Markdown(say(about, frames=limits.frames, side=limits.clip_side))
        with gr.Row(equal_height=False):
            with gr.Column():
                source = uploads.film(label=say("clip"), elem_id=f"{name}-input")
                if examples:
                    self._examples(source, examples)
                options = [self._style(family), gr.Slider(0, 0.9, 0.0, step=0.1, label=say("smooth")), *extras()]
                start, stop = self._buttons(name)
            with gr.Column():
                status = self._status(name)
                result = gr.Video(label=say("result_clip"), interactive=False, elem_id=f"{name}-result", buttons=[],
                                  height=360)
                download = self._download(name)

        def job_of(path: str | None, style: str | None, smooth: float, faces: str = "all"):
            return lambda job: self.service.studio.clip(job, self._source(path), family, style, smooth, faces=faces)

        def shown(drawn: Drawn) -> list:
            return [str(drawn.after), gr.DownloadButton(value=str(drawn.after), interactive=True)]
        self._connect(name, [source, *options], [result, download], status, start, stop, job_of, shown)

    def _seed_panel(self) -> None:
        say = self.say

        def work(job: Job, seed: float, count: float, truncation: float, style: str | None) -> Drawn:
            first = _seed(seed)
            seeds = [(first + number) % (LARGEST_SEED + 1) for number in range(int(count))]
            return self.service.studio.avatars(job, seeds, truncation, 4, 256 if count <= 4 else 160, style)
        self._number_panel("draw", work, lambda: [
            self._seed("seed", 233), gr.Slider(1, 16, 12, step=1, label=say("count")),
            gr.Slider(0, 1.2, 0.7, step=0.05, label=say("truncation"))])

    def _mix_panel(self) -> None:
        say = self.say

        def work(job: Job, first: float, second: float, coarse: float, middle: float, fine: float, style: str | None
                 ) -> Drawn:
            return self.service.studio.mixture(job, _seed(first), _seed(second), coarse, middle, fine, style=style)
        self._number_panel("mix", work, lambda: [
            self._seed("seed_a", 1), self._seed("seed_b", 7),
            *(gr.Slider(0, 1, share, step=0.05, label=say(group))
              for group, share in (("coarse", 0.0), ("middle", 0.0), ("fine", 1.0)))])

    def _sweep_panel(self) -> None:
        say = self.say

        def work(job: Job, seed: float, space: str, coordinate: float, style: str | None) -> Drawn:
            return self.service.studio.sweep(job, _seed(seed), int(coordinate), space, style=style)
        choices = [(say(f"space.{space}"), space) for space in reversed(SPACES)]
        self._number_panel("sweep", work, lambda: [
            self._seed("seed", 3), gr.Radio(choices, value="direction", label=say("space")),
            gr.Slider(0, 63, 0, step=1, label=say("coordinate"))])

    def _number_panel(self, name: str, work: Callable, numbers: Callable[[], list]) -> None:
        """Numbers on the left, the sheet that they give on the right; a moved slider draws at once."""
        gr.Markdown(self.say(f"about.{name}"))
        with gr.Row(equal_height=False):
            with gr.Column():
                given = [*numbers(), self._style("stylegan2")]
                start, stop = self._buttons(name)
            with gr.Column():
                status = self._status(name, "status.idle_seed")
                result = gr.Image(label=self.say("result_picture"), type="filepath", interactive=False,
                                  buttons=["fullscreen"], elem_id=f"{name}-result", format="png")
                download = self._download(name)

        def job_of(*values):
            return lambda job: work(job, *values)

        def shown(drawn: Drawn) -> list:
            return [str(drawn.after), gr.DownloadButton(value=str(drawn.after), interactive=True)]
        moved = [entry for entry in given if isinstance(entry, gr.Slider)]
        self._connect(name, given, [result, download], status, start, stop, job_of, shown, moved)

    # Parts of panels

    def _examples(self, source, kind: str) -> None:
        paths = sorted(str(path) for path in EXAMPLES.glob(f"{kind}*") if path.suffix != ".md")
        if paths:
            gr.Examples([[path] for path in paths], [source], label=self.say("examples"), api_visibility="private")

    def _style(self, family: str) -> gr.Dropdown:
        """Which weights draw; hidden where there is no choice."""
        styles = self.service.models.styles(family)
        names = [(f"{style} ({zoo.get(f'{family}/{style}').licence[:60]})", style) for style in styles]
        return gr.Dropdown(names, value=styles[0], label=self.say("style"), visible=len(styles) > 1)

    def _seed(self, label: str, value: int) -> gr.Number:
        with gr.Row(elem_classes="seed"):
            number = gr.Number(value, label=self.say(label), precision=0, minimum=0, maximum=LARGEST_SEED, scale=3)
            other = gr.Button(self.say("random"), size="sm", scale=1, min_width=120, elem_classes="other-seed")
            other.click(lambda: random.randrange(10_000), None, number, **HIDDEN)
        return number

    def _buttons(self, name: str) -> tuple[gr.Button, gr.Button]:
        with gr.Row():
            return (gr.Button(self.say("draw"), variant="primary", elem_id=f"{name}-start", scale=2, min_width=140),
                    gr.Button(self.say("cancel"), interactive=False, elem_id=f"{name}-stop", scale=1, min_width=100))

    def _status(self, name: str, idle: str = "status.idle") -> gr.HTML:
        return gr.HTML(_line(self.say(idle)), elem_id=f"{name}-status", padding=False)

    def _download(self, name: str) -> gr.DownloadButton:
        return gr.DownloadButton(self.say("download"), interactive=False, elem_id=f"{name}-download")

    # Work

    def _connect(self, name: str, inputs: list, results: list, status, start, stop, job_of: Callable,
                 shown: Callable[[Drawn], list], moved: list | None = None) -> None:
        """Start and stop. `job_of(*inputs)` is the work, `shown(drawn)` what the components of `results` get."""
        async def run(request: gr.Request, *values) -> AsyncIterator[list]:
            owner = f"{request.session_hash}/{self.language}/{name}"
            async for line, drawn, is_busy in self._watch(name, owner, job_of(*values)):
                yield [line, gr.Button(interactive=not is_busy), gr.Button(interactive=is_busy),
                       *(shown(drawn) if drawn else [gr.skip()] * len(results))]

        def halt(request: gr.Request) -> None:
            self.service.queue.cancel_of(f"{request.session_hash}/{self.language}/{name}")
        outputs = [status, start, stop, *results]
        start.click(run, inputs, outputs, trigger_mode="once", **HIDDEN)
        for slider in moved or ():
            slider.release(run, inputs, outputs, trigger_mode="always_last", **HIDDEN)
        stop.click(halt, None, None, **HIDDEN)

    async def _watch(self, name: str, owner: str, work: Callable[[Job], Drawn]
                     ) -> AsyncIterator[tuple[str, Drawn | None, bool]]:
        """(the status line, the result once there is one, whether it goes on) while a job waits and runs. The job's
        files are removed when the page has taken what it shows; a page that goes away cancels its job."""
        queue, job = self.service.queue, None
        try:
            job = queue.new_job(f"page_{name}", owner)
            job.is_held = job.shows_before = True
            queue.submit(job, work)
            last = None
            while not job.future.done():
                line = self._progress(job)
                if line != last:
                    yield _line(line, "busy"), None, True
                last = line
                await asyncio.sleep(TICK)
            drawn = job.future.result()
            done = self.say("status.done", seconds=f"{job.seconds:.1f}", weights=drawn.weights, licence=drawn.licence)
            yield _line(done, "done"), drawn, False
        except SuiteError as error:
            fault = fault_of(error, self.language)
            yield _line(fault.message, "stopped" if fault.code == "cancelled" else "fault"), None, False
        # The page has to say something whatever happened; the queue has logged the trace.
        except Exception as error:
            yield _line(fault_of(error, self.language).message, "fault"), None, False
        finally:
            if job is not None:
                queue.drop(job)

    def _progress(self, job: Job) -> str:
        if job.is_unwanted:
            return self.say("status.stopping")
        if job.state != RUNNING:
            position = self.service.queue.position(job)
            return self.say("status.waiting", position=position) if position else self.say("status.next")
        drawn, total = job.progress
        if total and total > 1:
            return self.say("status.frames", drawn=drawn, total=total)
        return self.say("status.frames_only", drawn=drawn) if drawn else self.say("status.running")

    def _source(self, path: str | None) -> Path:
        """The file a page sent: an upload or an example, whatever else a request may name. An upload's time is set to
        now, since files that were not used for long are removed. Raises Refusal."""
        if not path:
            raise Refusal("no_file")
        source = Path(path).resolve()
        is_upload = source.is_relative_to(self.service.page_folder.resolve())
        if not (is_upload or source.parent == EXAMPLES.resolve()) or not source.is_file():
            raise Refusal("expired")
        if is_upload:
            source.touch()
        return source

    def _models(self) -> str:
        say = self.say

        def row(record) -> str:
            here = "embedded" if record.embedded else "cached" if record.available() else "absent"
            size = f"{record.size / 1e6:.1f} MB" if record.size else ""
            cells = [("name", f"<code>{escape(record.name)}</code>"),
                     ("here", f"<span class='{here}'>{escape(say(f'model.{here}'))}</span>"), ("size", size),
                     ("licence", escape(record.licence)), ("source", escape(record.source))]
            return "<tr>" + "".join(f"<td data-label='{escape(say(f'model.{name}'))}'>{cell}</td>"
                                    for name, cell in cells) + "</tr>"
        names = "".join(f"<th>{escape(say(f'model.{name}'))}</th>"
                        for name in ("name", "here", "size", "licence", "source"))
        return (f"<p>{escape(say('about.models'))}</p><table><thead><tr>{names}</tr></thead><tbody>"
                f"{''.join(map(row, zoo.records()))}</tbody></table>")


def _line(message: str, kind: str = "idle") -> str:
    """The status line; screen readers say it when it changes."""
    return f'<p class="status {kind}" role="status" aria-live="polite">{escape(message)}</p>'


def _seed(value: Any) -> int:
    """A seed from a number field, which may be empty."""
    return min(max(int(value or 0), 0), LARGEST_SEED)
