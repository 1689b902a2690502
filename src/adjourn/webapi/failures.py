"""Errors as every client sees them: `{"error": {"code", "message"}}`, never a traceback.

What went wrong inside gets an id that both the answer and the log carry. Source: webapi.md §18.
"""

from __future__ import annotations

import structlog

from adjourn import runtime
from adjourn.errors import AdjournError, Busy, Throttled
from adjourn.webapi.exchange import Answer, json_answer

log = structlog.get_logger("adjourn.webapi")

MESSAGE_CHARACTERS_MAX = 8_000


def failed(error: BaseException, method: str, path: str) -> Answer:
    """The answer to an exception."""
    if not isinstance(error, AdjournError):
        error_id = runtime.new_id()
        log.error("request failed", error_id=str(error_id), method=method, path=path[:500], exc_info=error)
        return answer(500, "0x80040216", f"An unexpected error occurred. The log has it under id {error_id}.")
    if error.status >= 500 and not isinstance(error, Busy):
        log.warning("request refused", code=error.hex, method=method, path=path[:500], reason=error.message)
    found = answer(error.status, error.hex, error.message)
    if isinstance(error, Busy | Throttled):
        return found.plus(("Retry-After", str(error.retry_after_seconds)))
    return found


def answer(status: int, code: str, message: str) -> Answer:
    if len(message) > MESSAGE_CHARACTERS_MAX:
        message = message[:MESSAGE_CHARACTERS_MAX] + "…"
    # A client's text may hold halves of surrogate pairs, which JSON in UTF-8 cannot.
    text = message.encode("utf-8", "replace").decode()
    return json_answer(status, {"error": {"code": code, "message": text}})


def wrong_verb(method: str, allowed: tuple[str, ...]) -> Answer:
    found = answer(405, "0x0", f"The requested resource does not support http method '{method[:20]}'.")
    return found.plus(("Allow", ", ".join(allowed)))
