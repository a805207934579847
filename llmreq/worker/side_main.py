"""A process beside the worker: does one job after another until its worker is gone. Started by `side_process`."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import resource

from llmreq.errors import LlmreqError
from llmreq.limits import SIDE_MEMORY_BYTES, SIDE_RECYCLE_BYTES
from llmreq.wire.outcome import Failure
from llmreq.worker.frames import read_frame, write_frame
from llmreq.worker.side_work import Job

_PR_SET_PDEATHSIG = 1
_COLLECT_EVERY = 64


def main(parent: int) -> None:
    """Work on standard input and output; nothing else in this process may write to the latter."""
    _die_with(parent)
    _limit_memory()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    gc.freeze()
    gc.disable()  # looking through a million new objects every 700 of them doubles the time of a large answer
    write_frame(answers, b"r", None)
    serve(sys.stdin.buffer, answers)


def serve(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Until the parent is gone, or this process has grown too large; it says so with its last result."""
    done = 0
    while (frame := read_frame(jobs)) is not None:
        _do(frame.value, answers)
        del frame
        done += 1
        if done % _COLLECT_EVERY == 0 or _memory_bytes() > SIDE_RECYCLE_BYTES // 4:
            gc.collect()


def _do(job: Job, answers: BinaryIO) -> None:
    work = job.work()
    try:
        while True:
            write_frame(answers, b"p", next(work))
    except StopIteration as end:
        write_frame(answers, b"r", (end.value, _memory_bytes() > SIDE_RECYCLE_BYTES))
    except LlmreqError as problem:
        write_frame(answers, b"e", Failure(problem.code, problem.message, problem.details))
    except (
        ValueError,
        TypeError,
        RecursionError,
        OverflowError,
        MemoryError,
        LookupError,
        AttributeError,
    ) as error:
        write_frame(answers, b"e", type(error).__name__)


def _die_with(parent: int) -> None:
    """End at once when the worker does, also in the middle of a job: else a killed worker would leave this one computing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _limit_memory() -> None:
    if sys.platform == "win32":
        return
    with suppress(OSError, ValueError):  # a system without that limit, or with a lower one
        resource.setrlimit(resource.RLIMIT_AS, (SIDE_MEMORY_BYTES, SIDE_MEMORY_BYTES))


def _memory_bytes() -> int:
    """What it has now. The kernel's own peak would begin with the worker's: a child of vfork inherits it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # no Linux: then it is never too large
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
