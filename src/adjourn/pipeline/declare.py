"""The two decorators with which people bring their own code: `step` and `message`. They only mark.

Nothing is registered by importing a module; `registration` writes the rows when it is told to (`--plugins`,
`adjourn register`, or the first `enqueue` of a message).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec, TypeVar, overload
from uuid import UUID

from adjourn.errors import InvalidRequest, nearest
from adjourn.pipeline.call import Request
from adjourn.pipeline.context import ASYNCHRONOUS, SYNCHRONOUS, Stage

P = ParamSpec("P")
R = TypeVar("R")

STAGES = {
    "PreValidation": Stage.PRE_VALIDATION,
    "PreOperation": Stage.PRE_OPERATION,
    "PostOperation": Stage.POST_OPERATION,
}
MODES = {"Synchronous": SYNCHRONOUS, "Asynchronous": ASYNCHRONOUS}
_STEPS = "__adjourn_steps__"
"""The attribute in which a function keeps the steps that it was declared to be."""
SUPPLIED = ("Organization", "Client", "AsyncClient", "Job", "Context")
"""Parameters annotated with one of these are supplied; the rest are arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDeclaration:
    """What `@step` was given; the names are the step's columns with underscores."""

    message: str
    table: str | None
    stage: int
    mode: int
    rank: int = 1
    filtering_attributes: tuple[str, ...] = ()
    async_auto_delete: bool = False
    per_record_order: bool = False
    impersonating_user_id: UUID | None = None
    configuration: str | None = None
    name: str | None = None
    description: str | None = None
    pre_images: Mapping[str, Sequence[str] | None] = field(default_factory=dict)
    post_images: Mapping[str, Sequence[str] | None] = field(default_factory=dict)


def step(
    *,
    message: str,
    table: str | None = None,
    stage: str = "PostOperation",
    mode: str = "Synchronous",
    rank: int = 1,
    filtering_attributes: Sequence[str] = (),
    async_auto_delete: bool = False,
    per_record_order: bool = False,
    impersonating_user_id: UUID | None = None,
    configuration: str | None = None,
    name: str | None = None,
    description: str | None = None,
    pre_images: Mapping[str, Sequence[str] | None] | None = None,
    post_images: Mapping[str, Sequence[str] | None] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function as a step of the event pipeline. May be used several times on one function.

    table None means every table. stage: PreValidation, PreOperation or PostOperation. mode: Synchronous or
    Asynchronous (PostOperation only). pre_images and post_images: alias to the columns wanted, None for all.
    async_auto_delete: delete the job when it succeeded; recommended for asynchronous steps.
    per_record_order: its jobs for one record run one at a time, in the order of the changes (asynchronous steps only).
    Raises InvalidRequest for a stage or mode that does not exist, an asynchronous step before PostOperation, or an order
    where there are no jobs.
    Source: semantics §4; sdkmessageprocessingstep.
    """
    declaration = StepDeclaration(
        message=message,
        table=table,
        stage=int(_known("stage", stage, STAGES)),
        mode=_known("mode", mode, MODES),
        rank=rank,
        filtering_attributes=tuple(filtering_attributes),
        async_auto_delete=async_auto_delete,
        per_record_order=per_record_order,
        impersonating_user_id=impersonating_user_id,
        configuration=configuration,
        name=name,
        description=description,
        pre_images=dict(pre_images or {}),
        post_images=dict(post_images or {}),
    )
    if declaration.mode == ASYNCHRONOUS and declaration.stage != Stage.POST_OPERATION:
        raise InvalidRequest(f"An asynchronous step belongs to stage PostOperation, not {stage}.")
    if per_record_order and declaration.mode != ASYNCHRONOUS:
        raise InvalidRequest("per_record_order is for asynchronous steps: a synchronous one makes no jobs.")

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        setattr(function, _STEPS, (*steps_of(function), declaration))
        return function

    return mark


class Message(Generic[P, R]):
    """A message of one's own (Dataverse: custom API): call it as the function it is, or make a request of it."""

    def __init__(
        self,
        handler: Callable[P, R],
        name: str,
        atomic: bool,
        isolated: bool,
        *,
        table: str | None = None,
        collection: bool = False,
        function: bool = False,
    ) -> None:
        self.handler = handler
        self.name = name
        self.atomic = atomic
        self.isolated = isolated
        self.table = table
        self.collection = collection
        self.function = function
        self.__name__ = handler.__name__
        self.__doc__ = handler.__doc__
        self.__module__ = handler.__module__
        self.__wrapped__ = handler
        self._arguments = _arguments_only(handler)
        names = self._arguments.parameters
        self.target = next((found for found in TARGETS if found in names), None) if table and not collection else None
        """The parameter that gets the record on which a bound message is called."""
        if table and not collection and self.target is None:
            raise InvalidRequest(
                f"Message '{name}' is bound to a record of '{table}': it needs a parameter named {' or '.join(TARGETS)}."
            )
        if collection and not table:
            raise InvalidRequest(f"Message '{name}' is bound to a collection: say of which table.")
        if function and atomic:
            raise InvalidRequest(f"Message '{name}' only reads, so it cannot be atomic.")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.handler(*args, **kwargs)

    def request(self, *args: Any, **kwargs: Any) -> Request:
        """The request for `execute`, `enqueue` and `enqueue_many`: the function's own arguments, the supplied ones left out.

        Raises InvalidRequest when the arguments do not fit the function.
        """
        try:
            bound = self._arguments.bind(*args, **kwargs)
        except TypeError as error:
            known = self._arguments.parameters
            takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values())
            unknown = [name for name in kwargs if name not in known and not takes_any]
            what = f"it has no parameter '{unknown[0]}'" if unknown else str(error)
            hint = nearest(unknown[0], known) if unknown else ""
            raise InvalidRequest(f"Message '{self.name}': {what}. It takes {self._arguments}.{hint}") from None
        return Request(self.name, bound.arguments, declared=self)

    def __repr__(self) -> str:
        return f"<message {self.name}{self._arguments}>"


TARGETS = ("entity", "Target", "target")
_MESSAGE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,159}")


@overload
def message(handler: Callable[P, R], /) -> Message[P, R]: ...


@overload
def message(
    *,
    name: str | None = None,
    atomic: bool = False,
    isolated: bool = False,
    table: str | None = None,
    collection: bool = False,
    function: bool = False,
) -> Callable[[Callable[P, R]], Message[P, R]]: ...


def message(
    handler: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    atomic: bool = False,
    isolated: bool = False,
    table: str | None = None,
    collection: bool = False,
    function: bool = False,
) -> Message[P, R] | Callable[[Callable[P, R]], Message[P, R]]:
    """Mark a typed function as a message: run now with `org.execute`, as a job with `org.enqueue`, over HTTP with `POST /Name`.

    name: the message's name, by default the function's. atomic: its writes and its completion are one transaction.
    isolated: it runs in an executor process of its own. table: it is bound to a record of this table, which its parameter
    `entity` (or `Target`) gets as a Reference; or, with `collection`, to the table as a whole. function: it only reads,
    and is called with GET. Raises InvalidRequest for a name that no URL could carry, or a binding that does not fit.
    """

    def mark(marked: Callable[P, R]) -> Message[P, R]:
        chosen = name or marked.__name__
        if not _MESSAGE_NAME.fullmatch(chosen):
            raise InvalidRequest(
                f"'{chosen[:200]}' is no name for a message: letters, digits and underscores, not a digit first."
            )
        return Message(marked, chosen, atomic, isolated, table=table, collection=collection, function=function)

    return mark(handler) if handler is not None else mark


def steps_of(found: object) -> tuple[StepDeclaration, ...]:
    """The steps that a function was declared to be; none, if it was not marked."""
    declared = getattr(found, _STEPS, ())
    return declared if isinstance(declared, tuple) else ()


def is_marked(found: object) -> bool:
    """Whether something was made by one of the two decorators."""
    return isinstance(found, Message) or bool(steps_of(found))


def _known(what: str, found: str, accepted: Mapping[str, Any]) -> Any:
    if found not in accepted:
        raise InvalidRequest(f"No {what} '{found}': one of {', '.join(accepted)}.{nearest(str(found), accepted)}")
    return accepted[found]


def supplied(parameter: inspect.Parameter) -> str | None:
    """Which of SUPPLIED a parameter asks for, if any. Annotations may be classes or their names as text."""
    annotation = parameter.annotation
    if isinstance(annotation, str):
        found = annotation.strip("'\"").rpartition(".")[2]
    else:
        found = getattr(annotation, "__name__", "")
    return found if found in SUPPLIED else None


def _arguments_only(handler: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(handler)
    return signature.replace(parameters=[p for p in signature.parameters.values() if supplied(p) is None])
