"""What a request can be refused for: a code, an HTTP status and one sentence in either language."""
from __future__ import annotations

from dataclasses import dataclass

from .. import errors
from .texts import LANGUAGES, text

REFUSED = 422                                                  # understood, but this picture cannot be used
FAILED = "failed"
# What the suite's own errors are here. The Chinese sentence is of the kind, since the suite's own are in English.
KINDS = ((errors.NoFaceError, "no_face", REFUSED), (errors.ImageError, "bad_picture", REFUSED),
         (errors.VideoError, "bad_video", REFUSED), (errors.ConfigError, "bad_request", REFUSED),
         (errors.WeightsError, "bad_weights", REFUSED), (errors.MissingExtra, "missing_extra", 501))


class Refusal(errors.SuiteError):
    """A request that is not served. `code` names its sentence in texts.py, `values` fill that in."""

    def __init__(self, code: str, status: int = REFUSED, retry_after: int | None = None, **values: object):
        super().__init__(text(f"fault.{code}", "en", **values))
        self.code, self.status, self.retry_after, self.values = code, status, retry_after, values


@dataclass(frozen=True)
class Fault:
    """What a client is told of an error: status, code, one sentence, and after how many seconds to try again."""
    status: int
    code: str
    message: str
    retry_after: int | None = None


def fault_of(error: BaseException, language: str) -> Fault:
    """Any error of a job as a client is told of it; what is no fault of the client's is named no further."""
    if isinstance(error, Refusal):
        return Fault(error.status, error.code, text(f"fault.{error.code}", language, **error.values),
                     error.retry_after)
    for kind, code, status in KINDS:
        if isinstance(error, kind):
            own = str(error) if language == LANGUAGES[0] else text(f"fault.{code}", language, detail=error)
            return Fault(status, code, own)
    return Fault(500, FAILED, text(f"fault.{FAILED}", language))


def too_many_bytes(limit: int) -> Refusal:
    """The refusal of an upload of more than `limit` bytes."""
    return Refusal("too_many_bytes", 413, limit=f"{limit / 1e6:g}")


def queue_full(retry_after: int) -> Refusal:
    """The refusal of a job that finds no place to wait."""
    return Refusal("queue_full", 503, retry_after, seconds=retry_after)
