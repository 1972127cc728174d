"""What /metrics tells, in Prometheus' text format: requests, jobs, the line, memory."""
from __future__ import annotations

from collections.abc import Callable

from .jobs import Job

# From an avatar on a GPU to a video on one processor core.
SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300)


class Measures:
    """The counters of one server; `counts()` gives (waiting, running) when they are read."""

    def __init__(self, counts: Callable[[], tuple[int, int]]):
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter("ppgan_apps_requests", "API requests by path and status", ("path", "status"),
                                 registry=self._registry)
        self._jobs = Counter("ppgan_apps_jobs", "Jobs by kind and how they ended", ("kind", "state"),
                             registry=self._registry)
        self._seconds = Histogram("ppgan_apps_job_seconds", "Time that finished jobs were worked at", ("kind",),
                                  buckets=SECONDS, registry=self._registry)
        for number, name in enumerate(("waiting", "running")):
            gauge = Gauge(f"ppgan_apps_{name}", f"Jobs {name}", registry=self._registry)
            gauge.set_function(lambda number=number: counts()[number])

    def saw_request(self, path: str, status: int) -> None:
        """Counts an answer of the API; `path` as the schema has it, so that job numbers are no labels."""
        self._requests.labels(path, str(status)).inc()

    def saw_job(self, job: Job) -> None:
        """Counts a job that has ended."""
        self._jobs.labels(job.kind, job.state).inc()
        if job.state == "done":
            self._seconds.labels(job.kind).observe(job.seconds)

    def text(self) -> tuple[bytes, str]:
        """(the page, its media type)."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
