"""One process beside the worker, seen from there: started without our secrets, asked one job at a time, killed when late."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmreq.errors import InvalidRequestError, InvalidSchemaError, LlmreqError
from llmreq.limits import SIDE_START_SECONDS
from llmreq.wire.outcome import Failure
from llmreq.worker.frames import HEAD, Frame, FrameError, packed, sizes_of, unpacked
from llmreq.worker.side_work import Job

_KEPT = frozenset(
    {"PATH", "LANG", "LANGUAGE", "TZ", "SystemRoot", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TIKTOKEN_CACHE_DIR"}
)  # fmt: skip
_KEPT_PREFIXES = ("PYTHON", "LC_")

_BOOT = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from llmreq.worker.side_main import main
main(int(sys.argv[2]))
"""

_READ_AHEAD_BYTES = 4 * 1024 * 1024


class SideError(Exception):
    """A job came to no end: its time was over, or its process died. `provisional` is what it said until then, or None.

    `began` is False where no process took it: another time one may.
    """

    def __init__(self, reason: str, provisional: Any = None, *, began: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.provisional = provisional
        self.began = began


@dataclass
class SideProcess:
    """Does one job at a time. After an exception other than LlmreqError it is dead."""

    _process: Process
    is_spent: bool = False

    @classmethod
    async def start(cls) -> SideProcess:
        """Start one, and wait until it has what it needs: a job's time is its own. Raises SideError."""
        made: SideProcess | None = None
        try:
            async with asyncio.timeout(SIDE_START_SECONDS):
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-I",  # nothing of the user's or the working directory's is loaded; where modules are is told
                    "-c",
                    _BOOT,
                    json.dumps(_import_path()),
                    str(os.getpid()),
                    stdin=PIPE,
                    stdout=PIPE,
                    stderr=DEVNULL,  # a traceback there could show what was worked on
                    env=scrubbed(os.environ),
                    limit=_READ_AHEAD_BYTES,
                    start_new_session=True,  # a Ctrl-C is for the worker, which still wants its verdicts
                )
                made = cls(process)
                await made._read()
                return made
        except BaseException as error:
            if made is not None:
                made.kill()
            if isinstance(error, OSError | EOFError | TimeoutError):
                raise SideError(f"found no process beside ({type(error).__name__})", began=False) from None
            raise

    @property
    def is_alive(self) -> bool:
        """Whether it may be asked again."""
        return not self.is_spent and self._process.returncode is None

    async def ask(self, job: Job, seconds: float) -> Any:
        """The job's result. Raises LlmreqError when the job says so, SideError when it comes to no end."""
        provisional: Any = None
        try:
            async with asyncio.timeout(seconds):
                await self._write(job)
                while (frame := await self._read()).tag == b"p":
                    provisional = frame.value
        except TimeoutError:
            self.kill()
            raise SideError(f"took longer than {seconds:g} s", provisional) from None
        except (OSError, EOFError, FrameError) as error:
            self.kill()
            raise SideError(f"ended its process ({type(error).__name__})", provisional) from None
        except BaseException:
            self.kill()  # cut in the middle of a frame
            raise
        if frame.tag == b"e":
            raise _problem(frame.value, provisional)
        result, self.is_spent = frame.value
        if self.is_spent:
            self.kill()
        return result

    def kill(self) -> None:
        """End it now; `wait` tells when it is gone."""
        self.is_spent = True
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def wait(self) -> None:
        """Return when a killed one is gone, and its pipes with it."""
        await self._process.communicate()

    async def _write(self, job: Job) -> None:
        stream = self._process.stdin
        assert stream is not None
        for part in packed(b"j", job):
            stream.write(part)
            await stream.drain()

    async def _read(self) -> Frame:
        stream = self._process.stdout
        assert stream is not None
        tag, count = HEAD.unpack(await stream.readexactly(HEAD.size))
        sizes = sizes_of(await stream.readexactly(8 * count))
        return unpacked(tag, [await stream.readexactly(size) for size in sizes])


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """What a process beside may know: where programs and modules are, language and time; no key, no address."""
    return {
        name: value for name, value in environment.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }


def _import_path() -> list[str]:
    """Where this process finds its modules, the package itself first: a checkout and an installed wheel alike."""
    own = str(Path(__file__).resolve().parents[2])
    return list(dict.fromkeys([own, *(entry for entry in sys.path if entry)]))


def _problem(said: Failure | str, provisional: Any) -> Exception:
    if isinstance(said, str):
        return SideError(f"failed ({said})", provisional)
    kind = {each.code: each for each in (InvalidSchemaError, InvalidRequestError)}.get(said.code, LlmreqError)
    return kind(said.message, details=said.details)
