"""Checks that may take long, in a process of their own that can be killed.

The parsers and the validator hold the interpreter's lock while they work: a 5 MB answer takes 150 ms, a pathological
`pattern` seconds, and a thread would stall every other call as long. Frames on the pipes are pickles with their length
before them; both ends are this module.
"""

from __future__ import annotations

import asyncio
import pickle
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import orjson

from llmreq.check.schemas import compile_schema
from llmreq.check.tools import compile_tools
from llmreq.limits import SIDE_CHECK_SECONDS
from llmreq.wire.outcome import Answer
from llmreq.worker.outcome_fields import encode
from llmreq.worker.verdict import Expectation, verdict

_LENGTH = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class Question:
    """One answer and what its row demands of it, not yet compiled: compiled schemas do not travel."""

    answer: Answer
    response_schema: Any
    tools: Any
    allow_text: bool


class CheckTimeoutError(Exception):
    """The check did not end within SIDE_CHECK_SECONDS; its process was killed."""


@dataclass
class SideCheck:
    """One process, started when first needed and again after a kill; it ends with its parent. One check at a time."""

    _process: asyncio.subprocess.Process | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def facts(self, question: Question) -> dict[str, Any]:
        """What `verdict` says. Raises CheckTimeoutError."""
        async with self._turn:
            try:
                async with asyncio.timeout(SIDE_CHECK_SECONDS):
                    return await self._ask(pickle.dumps(question))
            except (TimeoutError, OSError, asyncio.IncompleteReadError):
                await self.close()
                raise CheckTimeoutError from None
            except BaseException:
                await self.close()  # cut in the middle of a frame
                raise

    async def close(self) -> None:
        """Kill the process, if there is one."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.communicate()

    async def _ask(self, frame: bytes) -> dict[str, Any]:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                __name__,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C is for the worker, which still wants its verdicts
            )
        to, back = self._process.stdin, self._process.stdout
        assert to is not None
        assert back is not None
        to.write(_LENGTH.pack(len(frame)) + frame)
        await to.drain()
        (length,) = _LENGTH.unpack(await back.readexactly(_LENGTH.size))
        facts: dict[str, Any] = pickle.loads(await back.readexactly(length))  # noqa: S301 - our own child
        if facts.get("parsed_response") is not None:
            facts["parsed_response"] = orjson.Fragment(facts["parsed_response"])
        return facts


def answer_questions(questions: BinaryIO, answers: BinaryIO) -> None:
    """The child's loop: until the parent is gone."""
    while head := questions.read(_LENGTH.size):
        asked: Question = pickle.loads(questions.read(*_LENGTH.unpack(head)))  # noqa: S301 - our own parent
        frame = pickle.dumps(_facts(asked))
        answers.write(_LENGTH.pack(len(frame)) + frame)
        answers.flush()


def _facts(asked: Question) -> Mapping[str, Any]:
    expected = Expectation(
        None if asked.response_schema is None else compile_schema(asked.response_schema),
        None if asked.tools is None else compile_tools(asked.tools),
        asked.allow_text,
    )
    facts = verdict(asked.answer, expected)
    if facts.get("parsed_response") is not None:
        # Encoded here: the parent only copies it into the report.
        facts["parsed_response"] = encode(facts["parsed_response"])
    return facts


if __name__ == "__main__":
    answer_questions(sys.stdin.buffer, sys.stdout.buffer)
