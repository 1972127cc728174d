"""The queue of `ppgan-apps serve`: order, positions, limits, cancelling, and what is left on the disk. No server."""
import threading
import time

import pytest

from ppgan_apps.errors import NoFaceError
from ppgan_apps.web.faults import Refusal, fault_of
from ppgan_apps.web.jobs import CANCELLED, DONE, FAILED, RUNNING, WAITING, JobQueue


@pytest.fixture
def queue_of(tmp_path):
    """Makes queues and stops them."""
    made = []

    def make(places=4, workers=1, seconds=60.0, keep=60.0, **options):
        made.append(JobQueue(tmp_path, places, workers, seconds, keep, **options))
        return made[-1]
    yield make
    for queue in made:
        queue.stop()


class Gate:
    """Work that counts checkpoints and goes on until it is let through."""

    def __init__(self):
        self.begun, self.open, self.steps = threading.Event(), threading.Event(), 0

    def __call__(self, job):
        self.begun.set()
        while not self.open.is_set():
            job.checkpoint(self.steps, None)
            self.steps += 1
            time.sleep(0.005)
        return "drawn"


def add(queue, work, kind="test", owner=""):
    return queue.submit(queue.new_job(kind, owner), work)


def wait_for(condition, seconds=20):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_jobs_are_served_in_order_and_know_their_position(queue_of):
    queue, gate, order = queue_of(), Gate(), []
    first = add(queue, gate)
    assert gate.begun.wait(20)
    others = [add(queue, lambda job, number=number: order.append(number)) for number in range(3)]
    assert (first.state, [job.state for job in others]) == (RUNNING, [WAITING] * 3)
    assert [queue.position(job) for job in [first, *others]] == [0, 0, 1, 2]
    assert queue.counts() == (3, 1)
    gate.open.set()
    others[-1].future.result(20)
    assert (first.future.result(20), order, first.state) == ("drawn", [0, 1, 2], DONE)


def test_a_full_line_refuses_says_when_to_come_back_and_leaves_no_folder(queue_of, tmp_path):
    queue, gate = queue_of(places=2), Gate()
    add(queue, gate)
    assert gate.begun.wait(20)
    last = [queue.new_job("test") for _ in range(3)]           # there was room when each was made
    for job in last[:2]:
        queue.submit(job, gate)
    with pytest.raises(Refusal) as refused:
        queue.submit(last[2], gate)
    fault = fault_of(refused.value, "en")
    assert (fault.status, fault.code) == (503, "queue_full") and fault.retry_after >= 1
    assert not last[2].folder.exists() and len(list(tmp_path.iterdir())) == 3
    with pytest.raises(Refusal):
        queue.new_job("test")
    gate.open.set()


def test_a_cancelled_waiting_job_leaves_the_line_and_the_disk(queue_of):
    queue, gate, drawn = queue_of(), Gate(), []
    add(queue, gate)
    assert gate.begun.wait(20)
    one, two = add(queue, drawn.append), add(queue, lambda job: drawn.append(2))
    queue.cancel(one)
    assert (one.state, one.folder.exists(), queue.position(two)) == (CANCELLED, False, 0)
    assert fault_of(one.future.exception(), "en").code == "cancelled"
    gate.open.set()
    two.future.result(20)
    assert drawn == [2]


def test_a_cancelled_running_job_stops_at_its_next_checkpoint(queue_of):
    queue, gate = queue_of(), Gate()
    job = add(queue, gate, owner="page")
    wait_for(lambda: gate.steps > 2)
    queue.cancel_of("another page")
    assert not job.is_unwanted
    queue.cancel_of("page")
    assert isinstance(job.future.exception(20), Refusal) and job.state == CANCELLED
    steps = gate.steps
    time.sleep(0.1)
    assert gate.steps == steps and not job.folder.exists()


def test_a_job_is_stopped_after_its_time(queue_of):
    job = add(queue_of(seconds=0.1), Gate())
    fault = fault_of(job.future.exception(20), "en")
    assert (job.state, fault.status, fault.code) == (FAILED, 504, "too_slow") and "0.1 seconds" in fault.message


def test_what_breaks_in_a_job_costs_no_other(queue_of, caplog):
    queue = queue_of()

    def breaks(job):
        raise ZeroDivisionError("a secret of the server")

    def has_no_face(job):
        raise NoFaceError("No face was found in the picture: use a photo that shows one from the front.")
    broken, faceless, good = add(queue, breaks), add(queue, has_no_face), add(queue, lambda job: 7)
    assert good.future.result(20) == 7
    assert fault_of(broken.future.exception(), "en").status == 500
    assert "secret" not in fault_of(broken.future.exception(), "en").message and "secret" in caplog.text
    assert fault_of(faceless.future.exception(), "en").code == "no_face"
    assert "人脸" in fault_of(faceless.future.exception(), "zh").message


def test_uploads_go_when_the_work_ends_and_results_when_their_time_is_over(queue_of):
    seen = []
    queue = queue_of(keep=0.2, observe=seen.append)
    job = queue.new_job("test")
    job.upload = job.folder / "upload"
    job.upload.write_bytes(b"a photo")

    def work(job):
        assert job.upload.exists()
        (job.folder / "result.png").write_bytes(b"a cartoon")
    queue.submit(job, work).future.result(20)
    assert [path.name for path in job.folder.iterdir()] == ["result.png"] and seen == [job]
    wait_for(lambda: not job.folder.exists())
    with pytest.raises(Refusal, match="no such job"):
        queue.get(job.id)


def test_stopping_ends_everything(queue_of, tmp_path):
    queue = queue_of(workers=2)
    jobs = [add(queue, Gate()) for _ in range(4)]
    queue.stop()
    assert [job.state for job in jobs] == [CANCELLED] * 4 and list(tmp_path.iterdir()) == []
