"""Errors as every client sees them: `{"error": {"code", "message"}}`, never a traceback.

What went wrong inside gets an id that both the answer and the log carry. Source: webapi.md §18.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from adjourn import runtime
from adjourn.errors import AdjournError, Busy, Throttled
from adjourn.webapi import prefer
from adjourn.webapi.exchange import Answer, json_answer

log = structlog.get_logger("adjourn.webapi")

MESSAGE_CHARACTERS_MAX = 8_000
_DETAILS = "Microsoft.PowerApps.CDS."
_HELP = "http://go.microsoft.com/fwlink/?LinkID=398563&error=Microsoft.Crm.CrmException"


def failed(error: BaseException, method: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    """The answer to an exception. headers: the request's, by lower-case name, which may ask for the error's details."""
    detailed = headers is not None and prefer.wants_error_details(headers)
    if not isinstance(error, AdjournError):
        error_id = runtime.new_id()
        log.error("request failed", error_id=str(error_id), method=method, path=path[:500], exc_info=error)
        text = f"An unexpected error occurred. The log has it under id {error_id}."
        return answer(500, "0x80040216", text, detailed=detailed)
    if error.status >= 500 and not isinstance(error, Busy):
        log.warning("request refused", code=error.hex, method=method, path=path[:500], reason=error.message)
    found = answer(error.status, error.hex, error.message, detailed=detailed)
    if isinstance(error, Busy | Throttled):
        return found.plus(("Retry-After", str(error.retry_after_seconds)))
    return found


def answer(status: int, code: str, message: str, *, detailed: bool = False) -> Answer:
    """An error of its own words. detailed: with the members that a client asks for by annotations (webapi.md §3, §18)."""
    if len(message) > MESSAGE_CHARACTERS_MAX:
        message = message[:MESSAGE_CHARACTERS_MAX] + "…"
    # A client's text may hold halves of surrogate pairs, which JSON in UTF-8 cannot.
    text = message.encode("utf-8", "replace").decode()
    error = {"code": code, "message": text}
    if detailed:
        number = code.removeprefix("0x")
        error |= {
            f"@{_DETAILS}ErrorDetails.OperationStatus": "0",
            f"@{_DETAILS}ErrorDetails.SubErrorCode": str(int(number or "0", 16)),
            f"@{_DETAILS}HelpLink": f"{_HELP}%3a{number}&client=platform",
            f"@{_DETAILS}TraceText": "",
            f"@{_DETAILS}InnerError.Message": text,
        }
    return json_answer(status, {"error": error})


def wrong_verb(method: str, allowed: tuple[str, ...]) -> Answer:
    found = answer(405, "0x0", f"The requested resource does not support http method '{method[:20]}'.")
    return found.plus(("Allow", ", ".join(allowed)))
