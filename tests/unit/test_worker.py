"""The worker: newest wins, newer work comes between the steps of long work, stop stops."""

from __future__ import annotations

import threading
import time

import pytest

from explain_widgets.widgets.worker import Job, Pause, Worker


class Log(list):
    """What happened, in order; waits for it."""

    def wait_for(self, *entries, seconds=5.0):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if all(entry in self for entry in entries):
                return
            time.sleep(0.001)
        pytest.fail(f"{entries} not in {list(self)}")


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def worker():
    worker = Worker(inline=False)
    yield worker
    worker.end()


def job(log, name, steps, key="head", is_patient=False):
    return Job(
        key,
        name,
        steps,
        superseded=lambda: log.append(f"{name} superseded"),
        stopped=lambda: log.append(f"{name} stopped"),
        is_patient=is_patient,
    )


def noting(log, name, count=1, gate=None):
    """Steps that note themselves; the first waits for ``gate``."""
    for step in range(count):
        if gate is not None and step == 0:
            gate.wait(5)
        log.append(f"{name} {step}")
        if step < count - 1:
            yield
    log.append(f"{name} done")


def test_of_what_waits_only_the_newest_is_done(worker, log):
    gate = threading.Event()
    worker.submit(job(log, "slow", noting(log, "slow", gate=gate), key="grid"))
    for number in range(5):
        worker.submit(job(log, f"head {number}", noting(log, f"head {number}")))
    gate.set()
    log.wait_for("head 4 done")
    assert [entry for entry in log if entry.endswith("superseded")] == [
        f"head {number} superseded" for number in range(4)
    ]
    assert not any(f"head {number} done" in log for number in range(4))


def test_newer_work_comes_between_the_steps_of_long_work(worker, log):
    gate, gate_two = threading.Event(), threading.Event()

    def long():
        gate.wait(5)
        log.append("long 0")
        yield
        gate_two.wait(5)
        log.append("long 1")

    worker.submit(job(log, "long", long(), key="grid"))
    worker.submit(job(log, "head", noting(log, "head")))
    gate.set()
    log.wait_for("head done")
    assert "long 1" not in log
    gate_two.set()
    log.wait_for("long 1")


def test_patient_work_is_done_in_its_order_while_there_is_nothing_else(worker, log):
    begun, gate, gate_two = (threading.Event() for _ in range(3))

    def first():
        begun.set()
        gate.wait(5)
        log.append("first 0")
        yield
        gate_two.wait(5)
        log.append("first 1")

    worker.submit(job(log, "first", first(), key="curves", is_patient=True))
    begun.wait(5)
    for name in ("second", "third"):
        worker.submit(job(log, name, noting(log, name, 2), key=name, is_patient=True))
    worker.submit(job(log, "head", noting(log, "head", 3)))
    gate.set()
    log.wait_for("head done")
    gate_two.set()
    log.wait_for("third done")
    heads = ["head 0", "head 1", "head 2", "head done"]
    others = ["second 0", "second 1", "second done", "third 0", "third 1", "third done"]
    assert log == ["first 0", *heads, "first 1", *others]


def test_what_gives_way_goes_on_when_other_work_is_done(worker, log):
    begun, gate = threading.Event(), threading.Event()

    def head():
        begun.set()
        gate.wait(5)
        yield from noting(log, "head", 3)

    def grid():
        log.append("grid quick")
        yield Pause.GIVES_WAY
        yield from noting(log, "grid", 2)

    worker.submit(job(log, "curves", noting(log, "curves", 2), key="curves", is_patient=True))
    log.wait_for("curves done")
    log.clear()
    worker.submit(job(log, "head", head()))
    begun.wait(5)
    worker.submit(job(log, "grid", grid(), key="grid"))
    worker.submit(job(log, "curves", noting(log, "curves"), key="curves", is_patient=True))
    gate.set()
    log.wait_for("curves done")
    # The newest work under way is done first: what it leaves for later comes after the other.
    heads = ["head 1", "head 2", "head done"]
    assert log == ["head 0", "grid quick", *heads, "grid 0", "grid 1", "grid done", *log[-2:]]
    assert log[-2:] == ["curves 0", "curves done"]


def test_long_work_gives_way_to_newer_work_of_its_kind(worker, log):
    begun, gate = threading.Event(), threading.Event()

    def long():
        begun.set()
        gate.wait(5)
        yield
        log.append("long went on")

    worker.submit(job(log, "long", long()))
    begun.wait(5)
    worker.submit(job(log, "newer", noting(log, "newer")))
    gate.set()
    log.wait_for("long superseded", "newer done")
    assert "long went on" not in log


def test_stop_ends_long_work_and_keeps_the_rest(worker, log):
    begun, gate = threading.Event(), threading.Event()

    def long():
        begun.set()
        gate.wait(5)
        yield
        log.append("long went on")

    worker.submit(job(log, "long", long(), key="grid"))
    begun.wait(5)
    worker.stop("long")
    worker.submit(job(log, "head", noting(log, "head")))
    gate.set()
    log.wait_for("long stopped", "head done")
    assert "long went on" not in log
    assert "long superseded" not in log


def test_an_exception_ends_its_job_only(worker, log):
    def broken():
        raise ZeroDivisionError
        yield

    worker.submit(job(log, "broken", broken(), key="grid"))
    worker.submit(job(log, "head", noting(log, "head")))
    log.wait_for("head done")


def test_inline_work_is_done_at_once(log):
    Worker(inline=True).submit(job(log, "head", noting(log, "head", 3)))
    assert log == ["head 0", "head 1", "head 2", "head done"]


def test_after_its_end_no_thread_is_left(log):
    before = set(threading.enumerate())
    worker = Worker(inline=False)
    worker.submit(job(log, "head", noting(log, "head")))
    log.wait_for("head done")
    worker.end()
    assert set(threading.enumerate()) <= before
