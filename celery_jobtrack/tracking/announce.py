"""Tells listeners and plain strategies, in this process, what a transition did to a job."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery_jobtrack import events
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.state import JobState

if TYPE_CHECKING:
    from collections.abc import Callable

    from blinker import Signal

    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.tracking.ports import Ports

logger = logging.getLogger(__name__)

_TOLD: dict[JobState, tuple[Signal, str]] = {
    JobState.ENQUEUED: (events.job_enqueued, "job_enqueued"),
    JobState.STARTED: (events.job_started, "job_started"),
    JobState.RETRY: (events.job_retrying, "job_retrying"),
    JobState.SUCCESS: (events.job_succeeded, "job_finished"),
    JobState.FAILURE: (events.job_failed, "job_failed"),
    JobState.REVOKED: (events.job_revoked, "job_revoked"),
    JobState.SKIPPED: (events.job_skipped, "job_skipped"),
}


class Announcer:
    """Calls strategies first, then listeners; what they raise is logged and goes no further."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def announce(self, state: JobState, task: str, job_of: Callable[[], JobRecord | None]) -> None:
        """Tell that a job of ``task`` has just come into ``state``; it is read only if somebody listens."""
        told = _TOLD.get(state)
        if told is None or task == GROUP_TASK:  # it stands for a group, which has events of its own
            return
        signal, hook = told
        strategies = self._ports.strategies_for(task)
        if not strategies and not signal.receivers:
            return
        job = job_of()
        if job is None:
            return
        for strategy in strategies:
            _guarded(getattr(strategy, hook), f"{type(strategy).__qualname__}.{hook}", job)
        self.send(signal, job=job)

    def send(self, signal: Signal, **about: Any) -> None:
        """Call the listeners of a signal, each guarded."""
        if not signal.receivers:
            return
        for receiver in signal.receivers_for(self._ports.sender):
            name = getattr(receiver, "__qualname__", repr(receiver))
            _guarded(receiver, f"listener {name} of {signal!r}", self._ports.sender, **about)


def _guarded(call: Callable[..., Any], name: str, *args: Any, **about: Any) -> None:
    try:
        call(*args, **about)
    except Exception:  # a listener's mistake must not disturb the job
        logger.exception("%s raised; the job goes on", name)
