"""Log lines as JSON on stderr: one object a line, times in UTC.

A line never holds a prompt, an answer or a key. So an exception is told by its type and its places, without the values of its
frames and without its text where that may repeat what was worked on; and of what libraries log, only the template.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

import structlog

from llmreq.worker.describe import describe, places

_CAUSES = 5


def configure_logs() -> None:
    """Send the events of this process to stderr: structlog's, the standard library's, and errors that nobody caught."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _tell_exception,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.root.handlers = [_Relay(logging.WARNING)]
    sys.excepthook = _uncaught
    threading.excepthook = lambda given: _log().critical("thread_died", exc_info=given.exc_value)
    sys.unraisablehook = lambda given: _log().error("error_ignored", exc_info=given.exc_value)


class _Relay(logging.Handler):
    """The standard library's log records. asyncio's text repeats arguments and results of tasks; a template repeats nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        template = record.msg if record.args and isinstance(record.msg, str) else None
        error = record.exc_info[1] if record.exc_info else None
        _log().log(record.levelno, "library_log", logger=record.name, template=template, exc_info=error)


def _tell_exception(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    chain: list[dict[str, Any]] = []
    while isinstance(error, BaseException) and len(chain) < _CAUSES:
        chain.append({"error": describe(error), "at": places(error)})
        error = error.__cause__ or error.__context__
    if chain:
        event["exception"] = chain
    return event


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        _log().critical("died", exc_info=error)


def _log() -> Any:
    return structlog.get_logger()
