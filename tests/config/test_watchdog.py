"""The supervisor takes over its process's signals, so it runs in a process of its own here."""

import os
import signal
import subprocess
import sys

import pytest

from config.watchdog import Watch
from tests.conftest import PROJECT

SUPERVISOR = """
import logging, sys
from config.watchdog import Supervisor, Watch
logging.basicConfig()
outstanding, settled, *command = sys.argv[1:]
watch = Watch("counting", lambda: outstanding or None, patience=0.3)
sys.exit(Supervisor(command, [watch], poll=0.05, settled=float(settled)).run())
"""
# Says its process id, then works until it is told to stop.
WORKER = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WORKER


@pytest.fixture
def supervise():
    started = []

    def start(child, *, outstanding="", settled=0.0):
        process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, outstanding, str(settled),
             sys.executable, "-c", child],
            cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)
            process.wait(10)
        process.stdout.close()
        process.stderr.close()


def next_child(supervisor):
    return int(supervisor.stdout.readline())


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def watch(values, patience=30):
    seen = iter(values)
    return Watch("counting", lambda: next(seen), patience)


def test_work_that_stays_the_same_is_a_stall():
    work = watch([7, 7, 7, 7])
    assert [work.stalled(now) for now in (100, 110, 129, 130)] == [False, False, False, True]


def test_a_long_queue_that_gets_shorter_is_no_stall():
    work = watch([7, 8, 9, 10])
    assert not any(work.stalled(now) for now in (100, 129, 158, 187))


def test_nothing_to_do_is_no_stall():
    work = watch([None, None, 7, None, 7, 7])
    assert not any(work.stalled(now) for now in (100, 140, 150, 181, 182, 211))


def test_a_new_child_is_given_its_time():
    work = watch([7, 7, 7])
    work.stalled(100)
    work.reset()
    assert not work.stalled(131)
    assert work.stalled(161)


def test_a_child_whose_work_stands_still_is_killed_and_replaced(supervise):
    supervisor = supervise(WORKER, outstanding="vote 7")
    first, second = next_child(supervisor), next_child(supervisor)
    assert is_gone(first)
    assert second != first


def test_a_frozen_child_is_replaced_too(supervise):
    supervisor = supervise(WORKER, outstanding="vote 7")
    first = next_child(supervisor)
    os.kill(first, signal.SIGSTOP)
    next_child(supervisor)
    assert is_gone(first)


def test_a_child_that_is_killed_is_replaced_however_young_it_is(supervise):
    supervisor = supervise(WORKER, settled=30)
    first = next_child(supervisor)
    os.kill(first, signal.SIGKILL)
    assert next_child(supervisor) != first


def test_a_child_that_never_comes_up_ends_the_supervisor_with_its_status(supervise):
    supervisor = supervise("raise SystemExit(3)", settled=30)
    assert supervisor.wait(10) == 3


def test_being_told_to_stop_stops_the_child_first(supervise):
    supervisor = supervise(WORKER)
    child = next_child(supervisor)
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(10) == 0
    assert is_gone(child)


def test_being_told_twice_leaves_no_stubborn_child(supervise):
    supervisor = supervise(STUBBORN)
    child = next_child(supervisor)
    supervisor.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        supervisor.wait(0.3)
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(10) == 0
    assert is_gone(child)


def test_the_log_says_why_a_worker_was_killed(supervise):
    supervisor = supervise(WORKER, outstanding="vote 7")
    first = next_child(supervisor)
    next_child(supervisor)
    line = supervisor.stderr.readline()
    assert "counting stood still" in line
    assert str(first) in line
