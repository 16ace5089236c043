"""What a bulk dispatch is given: signatures, one after the other."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery.canvas import Signature, xmap, xstarmap
from celery.exceptions import QueueNotFound

from celery_jobtrack.errors import InvalidPayload, UnknownQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.integration.runtime import Runtime

_SHOWN = 200
_SINGLE = (Signature, xmap, xstarmap)
"""Kinds of signatures that are one message."""
_CANVAS = frozenset({"group_id", "chord", "chain"})
"""Options of signatures that are a part of something larger."""


def checked_member(runtime: Runtime, item: Any) -> Signature[Any]:
    """The signature of one job, which can be sent.

    Args:
        runtime: The app's.
        item: What was given.

    Raises:
        InvalidPayload: It is no signature, or one of an unregistered task.
    """
    item = as_signature(runtime, item)
    if not isinstance(item, Signature):
        hint = "; give task.s(…) instead of the task" if hasattr(item, "apply_async") else ""
        raise InvalidPayload(
            f"it is no signature of a task, but {_shown(item)} ({type(item).__name__}){hint}"
        )
    name = item["task"]
    if name not in runtime.app.tasks:
        raise InvalidPayload(
            f"it is a signature of {name!r}, and no such task is registered in this process: "
            "import its module, or send it by its name with app.send_task(…)"
        )
    return item


def check_one(runtime: Runtime, item: Any, number: int) -> None:
    """See that something is a signature that the app knows.

    Args:
        runtime: The app's.
        item: What was given.
        number: Its place, counted from 0.

    Raises:
        InvalidPayload: It is no signature, or one of an unregistered task.
    """
    with naming(number):
        signature = as_signature(runtime, item)
        if not isinstance(signature, Signature) or not is_canvas(signature):
            checked_member(runtime, signature)


def as_signature(runtime: Runtime, item: Any) -> Any:
    """A signature that has been through JSON, as Celery takes it everywhere; or whatever was given."""
    if isinstance(item, dict) and not isinstance(item, Signature) and isinstance(item.get("task"), str):
        try:
            return Signature.from_dict(item, app=runtime.app)
        except (KeyError, TypeError) as error:
            raise InvalidPayload(f"it is no signature, but {_shown(item)}") from error
    return item


def is_canvas(signature: Signature[Any]) -> bool:
    """Whether more than one message may come of it, or it is a part of what somebody else puts together."""
    return type(signature) not in _SINGLE or not _CANVAS.isdisjoint(signature["options"])


@contextmanager
def naming(number: int) -> Iterator[None]:
    """Say of which member an error is. Raises InvalidPayload, UnknownQueue."""
    try:
        yield
    except InvalidPayload as error:
        raise InvalidPayload(f"member {number}: {error}") from error
    except UnknownQueue as error:
        raise UnknownQueue(f"member {number}: {error}") from error
    except QueueNotFound as error:
        raise UnknownQueue(
            f"member {number}: {error.args[0]}, and the app may not create it (task_create_missing_queues)"
        ) from error
    except TypeError as error:
        # As Celery complains of arguments that do not fit.
        raise InvalidPayload(f"member {number}: it cannot be sent: {error}") from error


def _shown(item: Any) -> str:
    text = repr(item)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
