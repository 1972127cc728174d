"""Reading, drawing and writing beside each other: order, failures, how much is held, stopping early."""
import threading
import time

import pytest

from ppgan_apps.overlap import AHEAD, overlapped


def test_results_come_in_order_whatever_takes_long():
    def slow(job):
        time.sleep(0.02 * (job % 3))
        return job
    outcomes = list(overlapped(range(9), slow, lambda value: slow(value) * 10, lambda job, drawn: (slow(job), drawn)))
    assert [(job, future.result()) for job, future in outcomes] == [(job, (job, 10 * job)) for job in range(9)]


def test_each_failure_is_its_own_jobs_and_costs_no_other():
    def failing(when, step):
        def run(job, *more):
            if job == when:
                raise ValueError(f"{step} {when}")
            return job
        return run
    outcomes = dict(overlapped(range(5), failing(1, "read"), failing(2, "draw"), failing(3, "write")))
    assert {job: str(future.exception()) for job, future in outcomes.items() if future.exception()} == {
        1: "read 1", 2: "draw 2", 3: "write 3"}
    assert outcomes[0].result() == 0 and outcomes[4].result() == 4


def test_the_three_run_beside_each_other_and_the_network_in_the_callers_thread():
    """Each step waits until the other two are under way, which in turn they never would be."""
    together, threads = threading.Barrier(3, timeout=20), set()

    def meet(turn):
        if 2 <= turn < 6:                                      # read of 4 beside draw of 3 and write of 2, at least
            together.wait()

    def draw(job):
        threads.add(threading.current_thread())
        meet(job + 1)
        return job
    outcomes = list(overlapped(range(8), lambda job: (meet(job), job)[1], draw, lambda job, drawn: meet(job + 2)))
    assert len(outcomes) == 8 and not any(future.exception() for _, future in outcomes)
    assert threads == {threading.current_thread()}


def test_few_pictures_are_held():
    begun = []
    outcomes = overlapped(range(50), begun.append, lambda picture: None, lambda job, drawn: time.sleep(0.005))
    next(outcomes)
    assert len(begun) <= 2 * AHEAD + 3
    outcomes.close()


def test_stopping_early_ends_what_is_being_written():
    written = []

    def write(job, drawn):
        time.sleep(0.05)
        written.append(job)
    with pytest.raises(KeyboardInterrupt):
        for _outcome in overlapped(range(100), lambda job: job, lambda picture: picture, write):
            raise KeyboardInterrupt
    assert 1 <= len(written) <= AHEAD + 2
