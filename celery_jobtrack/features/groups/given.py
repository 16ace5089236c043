"""The callbacks of a group, as they are given when it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.integration.signatures import callback_of
from celery_jobtrack.model.state import CallbackKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.callback import Callback


def one_more(
    runtime: Runtime, given: tuple[Callback, ...], kind: CallbackKind, signature: Any, *, every: int = 0
) -> tuple[Callback, ...]:
    """The callbacks that were given, and this one. Raises InvalidPayload."""
    if kind is CallbackKind.PROGRESS and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
        raise InvalidPayload(f"every must be a whole number of jobs from 1 on, not {every!r}")
    number = sum(callback.kind is kind for callback in given)
    return (*given, callback_of(runtime, kind, number, signature, every=every))


def callbacks_given(
    runtime: Runtime,
    *,
    before: Any = None,
    progress: Any = None,
    every: int = 1,
    then: Any = None,
    catch: Any = None,
    finally_: Any = None,
) -> tuple[Callback, ...]:
    """The callbacks of ``groups.create``: of each kind none, one or several. Raises InvalidPayload."""
    given = {
        CallbackKind.BEFORE: before,
        CallbackKind.PROGRESS: progress,
        CallbackKind.THEN: then,
        CallbackKind.CATCH: catch,
        CallbackKind.FINALLY: finally_,
    }
    found: tuple[Callback, ...] = ()
    for kind, signatures in given.items():
        step = every if kind is CallbackKind.PROGRESS else 0
        for signature in _several(signatures):
            found = one_more(runtime, found, kind, signature, every=step)
    return found


def _several(signatures: Any) -> Iterable[Any]:
    if isinstance(signatures, (list, tuple)):
        return signatures
    return () if signatures is None else (signatures,)
