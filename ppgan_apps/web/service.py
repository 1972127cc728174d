"""What pages and API share: limits, models, the queue, counters, and the folder that all temporary files are in."""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .drawing import Studio
from .jobs import JobQueue
from .limits import Limits
from .measures import Measures
from .models import Models

PAGE_FOLDER = "page"                                           # within the service's folder: what pages were sent


@dataclass(frozen=True)
class Settings:
    """How a server is run. places: jobs that may wait; workers: jobs worked at together; keep: seconds that results
    and the files of an open page are kept."""
    device: str = "auto"
    limits: Limits = field(default_factory=Limits)
    places: int = 64
    workers: int = 1
    keep: float = 600.0


class Service:
    """One server's work. `folder` exists, is its own, and is emptied by whoever made it."""

    def __init__(self, settings: Settings, folder: Path):
        self.settings, self.limits, self.folder = settings, settings.limits, folder
        self.models = Models(settings.device)
        self.studio = Studio(self.models, self.limits)
        self.jobs_folder, self.page_folder = folder / "jobs", folder / PAGE_FOLDER
        for each in (self.jobs_folder, self.page_folder):
            each.mkdir(exist_ok=True)                          # Gradio makes its own when it is imported
        self.measures = Measures(lambda: self.queue.counts())
        self.queue = JobQueue(self.jobs_folder, settings.places, settings.workers, self.limits.seconds, settings.keep,
                              self.measures.saw_job)

    def close(self) -> None:
        """Cancels what waits and runs."""
        self.queue.stop()
