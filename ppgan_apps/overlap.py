"""Reading the next picture and writing the one before while the network draws."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

AHEAD = 2                                                      # pictures that are read, and written, beside the drawing


def overlapped(jobs: Iterable[Any], read: Callable[[Any], Any], draw: Callable[[Any], Any],
               write: Callable[[Any, Any], Any]) -> Iterator[tuple[Any, Future]]:
    """(job, what `write(job, draw(read(job)))` gives, as a Future that is done) of every job, in order.

    The Future holds the exception where one of the three failed. `draw` runs in the caller's thread; at most `AHEAD`
    pictures are held on either side. When the caller stops early, what is being written is written to its end.
    """
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        waiting = iter(jobs)
        reading: deque[tuple[Any, Future]] = deque()
        writing: deque[tuple[Any, Future]] = deque()

        def read_on() -> None:
            for job in waiting:
                reading.append((job, reader.submit(read, job)))
                if len(reading) == AHEAD:
                    return
        try:
            read_on()
            while reading:
                job, picture = reading.popleft()
                read_on()
                writing.append((job, _drawn(job, picture, draw, write, writer)))
                while writing and (len(writing) > AHEAD or writing[0][1].done()):
                    yield _finished(*writing.popleft())
            while writing:
                yield _finished(*writing.popleft())
        finally:
            for _, future in reading:
                future.cancel()


def _drawn(job: Any, picture: Future, draw, write, writer: ThreadPoolExecutor) -> Future:
    try:
        drawn = draw(picture.result())
    except Exception as error:                                 # whatever it is, it is the caller's to judge
        failed: Future = Future()
        failed.set_exception(error)
        return failed
    return writer.submit(write, job, drawn)


def _finished(job: Any, future: Future) -> tuple[Any, Future]:
    future.exception()                                         # waits
    return job, future
