"""One process beside the worker, seen from there: started without our secrets, asked one job at a time, killed when late."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from llmreq.errors import InvalidRequestError, InvalidSchemaError, LlmreqError
from llmreq.limits import SIDE_START_SECONDS
from llmreq.wire.outcome import Failure
from llmreq.worker.frames import HEAD, Frame, FrameError, sizes_of, unpacked

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

_REAP_SECONDS = 0.005
_REAP_TRIES = 1_000
_COPIED_BYTES = 1024 * 1024


class SideError(Exception):
    """A job came to no end: its time was over, or its process died. `provisional` is what it said until then, or None.

    `began` is False where no process took it: another time one may.
    """

    def __init__(self, reason: str, provisional: Any = None, *, began: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.provisional = provisional
        self.began = began


class SideProcess:
    """Does one job at a time. After an exception other than LlmreqError it is dead."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self._process = process
        self._channel = channel
        self._is_spent = False

    @classmethod
    async def start(cls) -> SideProcess:
        """Start one, and wait until it has what it needs: a job's time is its own. Raises SideError."""
        try:
            made = cls(*_spawn())
        except OSError as error:
            raise _not_started(error) from None
        try:
            async with asyncio.timeout(SIDE_START_SECONDS):
                await made._read()
        except BaseException as error:
            made.kill()
            if isinstance(error, OSError | EOFError | TimeoutError):
                raise _not_started(error) from None
            raise
        return made

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it may be asked again."""
        return not self._is_spent and self._process.poll() is None

    async def ask(self, frame: list[bytes | memoryview], seconds: float) -> Any:
        """The result of a packed job, which is taken apart as it is written: its bytes need not be kept until the result comes.

        Raises LlmreqError when the job says so, SideError when it comes to no end.
        """
        provisional: Any = None
        try:
            async with asyncio.timeout(seconds):
                while frame:
                    await asyncio.get_running_loop().sock_sendall(self._channel, frame.pop(0))
                while (said := await self._read()).tag == b"p":
                    provisional = said.value
        except TimeoutError:
            self.kill()
            raise SideError(f"took longer than {seconds:g} s", provisional) from None
        except (OSError, EOFError, FrameError) as error:
            self.kill()
            raise SideError(f"ended its process ({type(error).__name__})", provisional) from None
        except BaseException:
            self.kill()  # cut in the middle of a frame
            raise
        if said.tag == b"e":
            raise _problem(said.value, provisional)
        result, is_spent = said.value
        if is_spent:
            self.kill()
        return result

    def kill(self) -> None:
        """End it now; `wait` tells when it is gone."""
        if not self._is_spent:
            self._is_spent = True
            self._process.kill()
            self._channel.close()

    async def wait(self) -> None:
        """Return when a killed one is gone."""
        for _ in range(_REAP_TRIES):
            if self._process.poll() is not None:
                return
            await asyncio.sleep(_REAP_SECONDS)

    async def _read(self) -> Frame:
        tag, count = HEAD.unpack(await self._exactly(HEAD.size))
        sizes = sizes_of(await self._exactly(8 * count))
        return unpacked(tag, [await self._exactly(size) for size in sizes])

    async def _exactly(self, size: int) -> bytes:
        """Straight into its place, where it stays if it is large: through a stream's buffer, 60 MB would be copied thrice."""
        place = bytearray(size)
        rest = memoryview(place)
        while rest:
            received = await asyncio.get_running_loop().sock_recv_into(self._channel, rest)
            if not received:
                raise EOFError
            rest = rest[received:]
        return bytes(place) if size < _COPIED_BYTES else cast(bytes, place)


def _spawn() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """By Popen, which does not copy this process's memory map: libuv's fork holds up a large worker for 100 ms."""
    ours, theirs = socket.socketpair()
    try:
        ours.setblocking(False)
        process = subprocess.Popen(  # noqa: S603
            [
                sys.executable,
                "-I",  # nothing of the user's or the working directory's is loaded; where modules are is told
                "-c",
                _BOOT,
                json.dumps(_import_path()),
                str(os.getpid()),
            ],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,  # a traceback there could show what was worked on
            env=scrubbed(os.environ),
            start_new_session=True,  # a Ctrl-C is for the worker, which still wants its verdicts
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return process, ours


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """What a process beside may know: where programs and modules are, language and time; no key, no address."""
    return {
        name: value for name, value in environment.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }


def _import_path() -> list[str]:
    """Where this process finds its modules, the package itself first: a checkout and an installed wheel alike."""
    own = str(Path(__file__).resolve().parents[2])
    return list(dict.fromkeys([own, *(entry for entry in sys.path if entry)]))


def _not_started(error: BaseException) -> SideError:
    return SideError(f"found no process beside ({type(error).__name__})", began=False)


def _problem(said: Failure | str, provisional: Any) -> Exception:
    if isinstance(said, str):
        return SideError(f"failed ({said})", provisional)
    kind = {each.code: each for each in (InvalidSchemaError, InvalidRequestError)}.get(said.code, LlmreqError)
    return kind(said.message, details=said.details)
