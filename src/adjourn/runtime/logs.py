"""Logs: of our own commands as one line each on standard error; in somebody else's program as Python's logging wants it."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO, cast

import structlog


def configure_logs(level: int = logging.INFO) -> None:
    """Set up structlog for a long-running process: a command, or an executor."""
    human = sys.stderr.isatty()
    # Tracebacks without the values of variables: tokens and people's data are among them, and they are without bound.
    plain = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            console if human else plain,
            *([] if human else [structlog.processors.JSONRenderer()]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Patient(sys.stderr))),
        cache_logger_on_first_use=True,
    )


class _Patient:
    """A file whose other end may go away: who logs must go on, also where nobody reads it any more or its disk is full."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        try:
            return self._file.write(text)
        except (OSError, ValueError):  # a closed pipe, a full disk, a file that somebody has closed
            return len(text)

    def flush(self) -> None:
        try:
            self._file.flush()
        except (OSError, ValueError):
            return


def configure_library_logs() -> None:
    """Give what is logged in somebody else's program to `logging`, under the loggers `adjourn.…`.

    So nothing is printed to his standard output, warnings reach standard error by default, and his own configuration of
    logging decides about the rest. A structlog that he has configured himself stays as it is.
    """
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            _sentence,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _sentence(logger: Any, method: str, event: structlog.typing.EventDict) -> str:
    """The event's text with its values behind it."""
    said, traceback = event.pop("event"), event.pop("exception", None)
    values = " ".join(f"{name}={value!r}" for name, value in event.items())
    return "".join((said, f" ({values})" if values else "", f"\n{traceback}" if traceback else ""))
