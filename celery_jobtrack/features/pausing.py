"""``jobtrack.pause`` and ``jobtrack.resume``: queues and tasks of which nothing starts for a while."""

from __future__ import annotations

import difflib
import logging
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import InvalidPayload, UnknownQueue, UnknownTask
from celery_jobtrack.integration.intake import tell_workers
from celery_jobtrack.integration.runtime import NEVER_TRACKED
from celery_jobtrack.model.halt import LONGEST_NAME, HaltKind
from celery_jobtrack.model.names import check_name
from celery_jobtrack.model.requests import JobQuery

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.halt import Halt

logger = logging.getLogger(__name__)


class Pausing:
    """Records what is paused, and has the workers follow."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def pause(self, *, queue: str | None, task: str | None, reason: str | None) -> bool:
        """Record a pause; see ``JobTrack.pause``."""
        kind, name = _one_of(queue, task)
        if reason is not None and not isinstance(reason, str):
            raise InvalidPayload(f"a reason is a text, not {reason!r}")
        name = self._known_queue(name) if kind is HaltKind.QUEUE else self._known_task(name)
        is_new = self._runtime.store.halt(kind, name, reason or None)
        # Also if it is not: some worker may not have heard of it.
        tell_workers(self._runtime)
        return is_new

    def resume(self, *, queue: str | None, task: str | None) -> bool:
        """Take a pause back; see ``JobTrack.resume``."""
        kind, name = _one_of(queue, task)
        if kind is HaltKind.QUEUE:
            name = self._queue_called(name)
        was_paused = self._runtime.tracker.lift(kind, name)
        tell_workers(self._runtime)
        return was_paused

    def paused(self) -> Sequence[Halt]:
        """What is paused."""
        return tuple(self._runtime.store.halts())

    def _queue_called(self, name: str) -> str:
        """The queue's own name: a level or an alias is another one of it."""
        queues = self._runtime.app.amqp.queues
        known = queues.aliases.get(name) or dict.get(queues, name)
        return name if known is None else str(known.name)

    def _known_queue(self, name: str) -> str:
        app, levels = self._runtime.app, self._runtime.levels
        is_level = levels is not None and (levels.levels.find(name) is not None or name in levels.queues)
        if levels is not None and levels.share_one_queue and is_level:
            raise InvalidPayload(
                f"the levels of jobtrack_queues share the queue {levels.one_queue!r} on this broker, so "
                f"{name!r} cannot be paused by itself; pause that queue, or the tasks"
            )
        queues = app.amqp.queues
        is_declared = name in queues or name in queues.aliases
        if not is_declared and (levels is not None or app.conf.task_queues) and not self._is_used(name):
            names = {*queues, *queues.aliases}
            raise UnknownQueue(
                f"the app has no queue {name!r}, and no job was sent to one; {_near(name, names)}"
            )
        return self._queue_called(name)

    def _is_used(self, queue: str) -> bool:
        # Celery makes queues that are not declared when it is asked for them.
        return bool(self._runtime.store.jobs(JobQuery(queue=queue, limit=1)).items)

    def _known_task(self, name: str) -> str:
        tasks: Any = self._runtime.app.tasks
        if name not in tasks:
            raise UnknownTask(f"no task is registered as {name!r}; {_near(name, _trackable(tasks))}")
        if name.startswith(NEVER_TRACKED):
            raise InvalidPayload(f"{name!r} is never tracked, so it cannot be paused")
        if not self._runtime.tracks(name):
            logger.warning(
                "task %r is not tracked by itself: only those of its jobs are paused that are tracked", name
            )
        return name


def _one_of(queue: str | None, task: str | None) -> tuple[HaltKind, str]:
    if (queue is None) == (task is None):
        raise InvalidPayload("give either queue= or task=, one of them")
    kind, name = (HaltKind.TASK, task) if queue is None else (HaltKind.QUEUE, queue)
    checked = check_name(f"a {kind}'s name", name, InvalidPayload)
    if len(checked.encode()) > LONGEST_NAME:
        raise InvalidPayload(f"a {kind}'s name may have {LONGEST_NAME} bytes to be paused: {checked[:40]!r}…")
    return kind, checked


def _trackable(tasks: Iterable[str]) -> set[str]:
    return {name for name in tasks if not name.startswith(NEVER_TRACKED)}


def _near(name: str, names: Iterable[str]) -> str:
    known = sorted(names)
    near = difflib.get_close_matches(name, known, n=3)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    shown = ", ".join(map(repr, known[:10])) or "none"
    return f"known: {shown}{', …' if len(known) > 10 else ''}"  # noqa: PLR2004
