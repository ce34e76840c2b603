"""How the process ends beside a thread that a library holds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_inspect.service.ending import end

ACME = Path(__file__).parents[2] / "acme_engines"


@pytest.fixture
def left_at(monkeypatch):
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


def test_with_nothing_left_at_work_the_code_is_given_back(left_at, monkeypatch):
    monkeypatch.setattr(threading, "enumerate", lambda: [threading.main_thread()])
    assert end(3) == 3
    assert left_at == []


def test_what_hangs_is_named_and_the_process_ends_with_its_code(left_at, monkeypatch, caplog):
    hanging = threading.Thread(target=print, name="output images", daemon=True)
    monkeypatch.setattr(threading, "enumerate", lambda: [threading.main_thread(), hanging])
    end(3)
    assert left_at == [3]
    assert "the process ends beside what still hangs: output images" in caplog.text


HANGS = """
import logging, sys, threading
logging.basicConfig(level="INFO")
sys.path.insert(0, sys.argv[1])
from acme_engines import hang
from edge_inspect.service.ending import EndInTime
stop = threading.Event()
in_time = EndInTime(stop, within_s=0.3, orderly_s=0.1)
in_time.fail_safe = {fail_safe}
import signal, time
again = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: None)
signal.signal(signal.SIGHUP, lambda *_: again.set())
with in_time:
    print("ready", flush=True)
    {main}
print("ended by itself", flush=True)
"""


def ended(main, *, fail_safe="lambda: print('fail-safe, stop is', stop.is_set(), flush=True)", number=signal.SIGTERM):
    """Exit code, output and log of a process that is told to stop while it does `main`."""
    script = HANGS.format(main=main, fail_safe=fail_safe)
    with subprocess.Popen([sys.executable, "-c", script, str(ACME)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        said, logged = process.communicate(timeout=60)  # without the limit it would never end
    return process.returncode, said, logged


def test_a_main_thread_that_hangs_in_a_library_ends_in_time_with_what_must_be_safe_made_safe_first():
    code, said, logged = ended("hang()")
    assert (code, said) == (0, "fail-safe, stop is True\n")
    assert "0.3 s after the signal: the process ends beside what is still open: the main thread at " in logged
    assert "acme_engines.py" in logged


def test_a_fail_safe_that_hangs_too_does_not_keep_it():
    code, said, logged = ended("hang()", fail_safe="hang")
    assert (code, said) == (0, "")
    assert "what is still open" in logged


def test_what_ends_by_itself_is_left_alone():
    code, said, logged = ended("stop.wait()")
    assert (code, said, logged) == (0, "ended by itself\n", "")


def test_another_signal_begins_no_end():
    code, said, _ = ended("again.wait(); time.sleep(0.5); print(stop.is_set())", number=signal.SIGHUP)
    assert (code, said) == (0, "False\nended by itself\n")
