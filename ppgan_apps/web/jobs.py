"""The one queue of pages and API: a bounded line of jobs with positions, workers that serve it, and cancelling."""
from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from ..errors import SuiteError
from .faults import Refusal, queue_full

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
FINISHED = (DONE, FAILED, CANCELLED)
SWEEP_SECONDS = 1.0                                            # between looks for results that nobody fetched
TYPICAL_SECONDS = 2.0                                          # a job's, before any was seen

log = logging.getLogger(__name__)


class Job:
    """One piece of work: `state`, `progress` (drawn, of how many or None) and a `folder` of its own.

    The folder holds what was uploaded for it, removed when the work ends, and what it made, removed by `close`.
    """

    def __init__(self, kind: str, folder: Path, owner: str = ""):
        self.id, self.kind, self.folder, self.owner = uuid.uuid4().hex, kind, folder, owner
        self.state = WAITING
        self.progress: tuple[int, int | None] = 0, None
        self.future: Future[Any] = Future()                    # of the work's result; an error when it gave none
        self.future.set_running_or_notify_cancel()             # only the queue ends it, not whoever stops waiting
        self.created = time.monotonic()
        self.started: float | None = None
        self.ended: float | None = None
        self.upload: Path | None = None
        self.is_held = False                                   # somebody waits for it and then forgets it
        self.shows_before = False                              # what it was made from is wanted beside the result
        self.work: Callable[[Job], Any] | None = None
        self.seconds_allowed = 0.0
        self._unwanted = threading.Event()

    def checkpoint(self, drawn: int | None = None, total: int | None = None) -> None:
        """Called by the work before each picture or frame. Raises Refusal when it is to stop: cancelled, or too slow.
        """
        if drawn is not None:
            self.progress = drawn, total
        if self._unwanted.is_set():
            raise Refusal("cancelled", 409)
        if self.started is not None and time.monotonic() - self.started > self.seconds_allowed:
            raise Refusal("too_slow", 504, limit=f"{self.seconds_allowed:g}")

    def ask_to_stop(self) -> None:
        """Has the next `checkpoint` raise."""
        self._unwanted.set()

    @property
    def is_unwanted(self) -> bool:
        """Whether it was cancelled, though its last picture may not be finished yet."""
        return self._unwanted.is_set()

    @property
    def seconds(self) -> float:
        """How long it has been worked at."""
        return (self.ended or time.monotonic()) - self.started if self.started else 0.0

    def close(self) -> None:
        """Removes all it kept on the disk. Harmless when called again."""
        shutil.rmtree(self.folder, ignore_errors=True)


class JobQueue:
    """At most `places` jobs that wait, `workers` that are worked at, and results kept for `keep` seconds.

    `root`: where jobs have their folders; `observe(job)` is called when one has ended.
    """

    def __init__(self, root: Path, places: int, workers: int, seconds: float, keep: float,
                 observe: Callable[[Job], None] = lambda job: None):
        self.root, self.places, self.seconds, self.keep = root, places, seconds, keep
        self._observe = observe
        self._line: deque[Job] = deque()
        self._jobs: dict[str, Job] = {}                        # every job until it is forgotten
        self._running: set[Job] = set()
        self._changed = threading.Condition()
        self._open = True
        self._usual = TYPICAL_SECONDS                          # a running mean of how long a job takes
        self._threads = [threading.Thread(target=self._serve, name=f"worker {number}", daemon=True)
                         for number in range(workers)]
        self._threads.append(threading.Thread(target=self._sweep, name="sweeper", daemon=True))
        for thread in self._threads:
            thread.start()

    # What clients do

    def new_job(self, kind: str, owner: str = "") -> Job:
        """A job with its folder, not in the line yet: submit it, or close it. Raises Refusal when the line is full."""
        self.check_room()
        return Job(kind, Path(tempfile.mkdtemp(prefix="job-", dir=self.root)), owner)

    def check_room(self) -> None:
        """Raises Refusal when the line is full."""
        with self._changed:
            if len(self._line) >= self.places:
                raise queue_full(self._retry_after())

    def submit(self, job: Job, work: Callable[[Job], Any]) -> Job:
        """Puts a job at the end of the line; `work(job)` is its result. Raises Refusal, and closes the job, when the
        line is full."""
        job.work, job.seconds_allowed = work, self.seconds
        with self._changed:
            if self._open and len(self._line) < self.places:
                self._line.append(job)
                self._jobs[job.id] = job
                self._changed.notify()
                return job
            refusal = queue_full(self._retry_after())
        job.close()
        raise refusal

    def get(self, job_id: str) -> Job:
        """The job of that name. Raises Refusal."""
        with self._changed:
            if job_id not in self._jobs:
                raise Refusal("no_such_job", 404)
            return self._jobs[job_id]

    def position(self, job: Job) -> int:
        """How many jobs will be begun before it: 0 for the next one, and for one that has begun."""
        with self._changed:
            return self._line.index(job) if job in self._line else 0

    def cancel(self, job: Job) -> None:
        """Takes a waiting job out of the line; a running one stops before its next picture or frame."""
        job.ask_to_stop()
        with self._changed:
            waiting = job in self._line
            if waiting:
                self._line.remove(job)
        if waiting:
            self._end(job, CANCELLED, error=Refusal("cancelled", 409))

    def cancel_of(self, owner: str) -> None:
        """Cancels every job of one owner, a page for example."""
        with self._changed:
            theirs = [job for job in self._jobs.values() if job.owner == owner and job.state not in FINISHED]
        for job in theirs:
            self.cancel(job)

    def forget(self, job: Job) -> None:
        """Removes a finished job and what it kept."""
        with self._changed:
            self._jobs.pop(job.id, None)
        job.close()

    def drop(self, job: Job) -> None:
        """Ends it for whoever waited: cancelled if it goes on, forgotten as soon as it does not."""
        self.cancel(job)
        job.future.add_done_callback(lambda ended: self.forget(job))

    def counts(self) -> tuple[int, int]:
        """(jobs that wait, jobs that are worked at)."""
        with self._changed:
            return len(self._line), len(self._running)

    def stop(self) -> None:
        """Cancels all, waits for the workers and removes all folders."""
        with self._changed:
            self._open = False
            jobs = list(self._jobs.values())
            self._changed.notify_all()
        for job in jobs:
            self.cancel(job)
        for thread in self._threads:
            thread.join()
        for job in jobs:
            self.forget(job)

    # What workers do

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            self._work(job)

    def _next(self) -> Job | None:
        with self._changed:
            while self._open and not self._line:
                self._changed.wait()
            if not self._open:
                return None
            job = self._line.popleft()
            job.state, job.started = RUNNING, time.monotonic()
            self._running.add(job)
            return job

    def _work(self, job: Job) -> None:
        try:
            job.checkpoint()
            result = job.work(job) if job.work is not None else None
        except Refusal as error:
            self._end(job, CANCELLED if error.code == "cancelled" else FAILED, error=error)
        except SuiteError as error:
            self._end(job, FAILED, error=error)
        # Whatever befell this job, the worker goes on with the next; the log has the trace, the client a sentence.
        except Exception as error:
            log.exception("job %s (%s) failed", job.id, job.kind)
            self._end(job, FAILED, error=error)
        else:
            self._end(job, DONE, result=result)

    def _end(self, job: Job, state: str, result: Any = None, error: BaseException | None = None) -> None:
        if job.upload is not None:
            job.upload.unlink(missing_ok=True)
        if state != DONE:
            job.close()
        with self._changed:
            self._running.discard(job)
            job.ended, job.work = time.monotonic(), None
            if state == DONE:
                self._usual += 0.2 * (job.seconds - self._usual)
            job.state = state
        self._observe(job)
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)

    def _sweep(self) -> None:
        """Forgets finished jobs whose time is over, and the oldest of too many."""
        while self._open:
            time.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            with self._changed:
                ended = sorted((job for job in self._jobs.values() if job.state in FINISHED), key=_end_of)
            fetchable = [job for job in ended if not job.is_held]
            surplus = fetchable[:max(0, len(fetchable) - self.places)]
            for job in {*surplus, *(job for job in ended if now - _end_of(job) > self.keep)}:
                self.forget(job)

    def _retry_after(self) -> int:
        """Seconds until there should be a place again."""
        return max(1, round(self._usual))


def _end_of(job: Job) -> float:
    """When a finished job ended."""
    return job.ended or 0.0
