"""Several worker processes under one parent, which only starts them, hands signals on and waits.

Each child holds the reading end of a pipe whose other end only the parent has: should the parent be killed, its end tells
them, and they drain as after a SIGTERM. Else a supervisor's restart would run a second fleet beside them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import FrameType

import structlog

log = structlog.get_logger()

_PR_SET_PDEATHSIG = 1


def run_processes(count: int, arguments: Sequence[str]) -> int:
    """Run `llmreq worker ARGUMENTS` `count` times; the highest exit code, once all have ended.

    When one ends with an error the others are told to stop: whoever supervises us then starts all afresh.
    """
    read_end, write_end = os.pipe()  # neither is inherited, but where it is said
    command = [sys.executable, "-m", "llmreq", "worker", *arguments, "--parent-pipe", str(read_end)]
    # Sessions of their own, so that a Ctrl-C reaches each child once, through us, and not twice.
    children = [
        subprocess.Popen(command, start_new_session=True, pass_fds=(read_end,))  # noqa: S603
        for _ in range(count)
    ]
    os.close(read_end)

    def hand_on(number: int, _frame: FrameType | None) -> None:
        _send(children, number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGINT)}
    watchers = [threading.Thread(target=_watch, args=(child, children)) for child in children]
    try:
        for watcher in watchers:
            watcher.start()
        for watcher in watchers:
            watcher.join()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(write_end)
    return max(abs(child.returncode) and 1 for child in children)


def die_with_parent() -> None:
    """Be sent SIGHUP when the parent dies: for a child that does not look at its pipe yet. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGHUP, 0, 0, 0)


def _watch(child: subprocess.Popen[bytes], children: Sequence[subprocess.Popen[bytes]]) -> None:
    if child.wait() != 0:
        log.error("worker_process_ended", pid=child.pid, exit_code=child.returncode)
        _send(children, signal.SIGTERM)


def _send(children: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(number)
