"""The doctor: finds what does not fit together in a store, and mends it on request."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from celery_jobtrack.errors import JobTrackError, StoreUnavailable
from celery_jobtrack.model.fault import Fault, FaultKind
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.requests import EnqueueRequest, Origin, SettleRequest
from celery_jobtrack.model.state import (
    STATE_AFTER,
    JobState,
    Outcome,
    Reason,
)
from celery_jobtrack.tracking.lost import LostAttempts
from celery_jobtrack.tracking.republisher import Republisher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery_jobtrack.config import Settings
    from celery_jobtrack.model.job import Attempt, JobRecord
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger("celery_jobtrack.doctor")

PAUSE = 0.2
"""Seconds before what looked wrong is looked at again."""
LOST_FOR = 60.0
"""Seconds, beside three ticks, for which somebody else may close the attempts of a worker that is gone."""

_REASONS = {
    JobState.FAILURE: Reason.ERROR,
    JobState.REVOKED: Reason.TERMINATED,
    JobState.SKIPPED: Reason.IGNORED,
}
_LATER = (
    FaultKind.ATTEMPT_MISSING,
    FaultKind.ATTEMPT_LOST,
    FaultKind.NO_CHILD,
    FaultKind.UNTOLD,
    FaultKind.FILLER,
    FaultKind.COUNTERS,
    FaultKind.UNCHECKED,
    FaultKind.UNFINISHED,
)
"""What is mended after everything else, in this order: it may complete a group, which must have all of its
members by then, and what is counted must be in its place before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that was wrong at two looks, and what was done about it."""

    fault: Fault
    repaired: bool = False
    outcome: str = ""
    """What the repair came to, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What one examination found."""

    findings: tuple[Finding, ...]
    examined: int
    """How many records were looked at."""
    broker_error: str | None = None
    """Why the broker could not be asked for messages; None if it could."""

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong, or all that was is mended."""
        return all(finding.repaired for finding in self.findings)


class Doctor:
    """Goes through a whole store, part by part, beside everybody who uses it.

    What is wrong is looked at twice: only what still is so is reported. Repairs are transitions, or
    guarded like them, so that one that has become needless does nothing. Each leaves a line in the log.

    Args:
        tracker: Whose store it is.
        settings: For when a message or a worker counts as lost.
        pause: Seconds between the two looks.
    """

    def __init__(self, tracker: Tracker, settings: Settings, *, pause: float = PAUSE) -> None:
        self._tracker = tracker
        self._pause = pause
        self._lost = LostAttempts(tracker, settings.max_lost)
        self._lost_for = timedelta(seconds=LOST_FOR + 3 * settings.check_interval)
        self._republisher = Republisher(tracker, settings.lost_message_after)
        self._unasked: str | None = None

    def examine(
        self, *, repair: bool = False, on_finding: Callable[[Finding], None] | None = None
    ) -> Diagnosis:
        """Look at everything once.

        Args:
            repair: Whether to mend what is found.
            on_finding: Is called with each finding as it is made.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        findings: list[Finding] = []
        self._unasked = None

        def note(finding: Finding) -> None:
            findings.append(finding)
            if on_finding is not None:
                on_finding(finding)

        examined = 0
        later: list[Fault] = []
        for faults, looked_at in self._faults():
            examined += looked_at
            for fault in faults:
                if repair and fault.kind in _LATER:
                    later.append(fault)
                else:
                    note(self._mended(fault) if repair else Finding(fault=fault))
        for fault in sorted(later, key=lambda fault: _LATER.index(fault.kind)):
            note(self._mended(fault))
        return Diagnosis(findings=tuple(findings), examined=examined, broker_error=self._unasked)

    def _faults(self) -> Iterator[tuple[list[Fault], int]]:
        cursor: str | None = None
        seen: set[object] = set()
        while True:
            page = self._tracker.store.faults(cursor)
            faults = [fault for fault in page.faults if fault.identity not in seen]
            if faults:
                time.sleep(self._pause)
                again = {fault.identity for fault in self._tracker.store.faults(cursor).faults}
                faults = [fault for fault in faults if fault.identity in again]
                seen.update(fault.identity for fault in faults)
            yield faults, page.examined
            if page.cursor is None:
                break
            cursor = page.cursor
        yield list(self._lost_attempts()), 0
        yield list(self._lost_messages()), 0

    def _lost_attempts(self, limit: int = 1000) -> Iterator[Fault]:
        store = self._tracker.store
        workers = {worker.id: worker for worker in store.workers(alive=False)}
        now = store.now()
        for attempt in store.lost_attempts(limit):
            worker = workers.get(attempt.worker_id)
            gone = attempt.started_at if worker is None else worker.stopped_at or worker.lease_until
            if now - gone > self._lost_for:
                yield Fault(
                    kind=FaultKind.ATTEMPT_LOST,
                    subject=attempt.job_id,
                    text=f"job {attempt.job_id} is open on worker {attempt.worker}, which is gone since "
                    f"{gone:%Y-%m-%d %H:%M:%S} UTC, and no checker has closed it",
                    detail=attempt.token,
                )

    def _lost_messages(self) -> Iterator[Fault]:
        # What the spool has may tell of their starts.
        if not self._tracker.ports.nothing_kept():
            return
        try:
            suspects = self._republisher.suspects()
            held = self._tracker.ports.held_by_workers() if suspects else frozenset()
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the broker's, whatever it raises
            self._unasked = f"{type(error).__name__}: {error}"
            return
        for job in suspects:
            if job.id in held or not self._still_waits(job):
                continue
            yield Fault(
                kind=FaultKind.MESSAGE_LOST,
                subject=job.id,
                text=f"job {job.id} ({job.task}) is {job.state} in queue {job.queue!r}, which is empty, and "
                "no worker that answers holds its message: the checker will publish it again",
            )

    def _still_waits(self, job: JobRecord) -> bool:
        now = self._tracker.store.job(job.id)
        return now is not None and (now.state, now.published_at) == (job.state, job.published_at)

    # -- repairs -----------------------------------------------------------------------------------

    def _mended(self, fault: Fault) -> Finding:
        try:
            outcome = self._mend(fault)
        except StoreUnavailable:
            raise
        except Exception as error:  # one that cannot be mended must not keep the others as they are
            known = isinstance(error, JobTrackError)
            logger.warning("not repaired: %s: %s", fault.text, error, exc_info=not known)
            return Finding(fault=fault, outcome=f"not repaired: {type(error).__name__}: {error}")
        if outcome is None:
            return Finding(fault=fault, repaired=True, outcome="is well by now")
        logger.warning("repaired: %s: %s", fault.text, outcome)
        return Finding(fault=fault, repaired=True, outcome=outcome)

    def _mend(self, fault: Fault) -> str | None:
        """Mend it. Gives what was done, or None if nothing was to be done any more."""
        special = {
            FaultKind.COUNTERS: self._recount,
            FaultKind.UNCHECKED: self._recount,
            FaultKind.UNFINISHED: self._recount,
            FaultKind.FILLER: self._end_filling,
            FaultKind.ATTEMPT_MISSING: self._end_without_attempt,
            FaultKind.ATTEMPT_LOST: self._close_lost,
            FaultKind.NO_MEMBER: self._make_member,
            FaultKind.NO_CHILD: self._end_without_child,
            FaultKind.UNTOLD: self._tell_parent,
            FaultKind.UNDELIVERED: self._deliver,
            FaultKind.MESSAGE_LOST: self._publish,
        }.get(fault.kind)
        if special is not None:
            return special(fault)
        return _WORDS[fault.kind] if self._tracker.store.mend(fault) else None

    def _recount(self, fault: Fault) -> str:
        changed = self._tracker.change_group(self._tracker.store.recompute_group(fault.subject))
        over = ", and it is over" if changed.group.is_over else ""
        return f"its members were counted anew{over}"

    def _end_filling(self, fault: Fault) -> str:
        self._tracker.change_group(self._tracker.store.end_filling(fault.subject, fault.detail))
        return "the hold was let go of"

    def _end_without_attempt(self, fault: Fault) -> str | None:
        """End the job as its last attempt did; if nobody knows how that was, as one that was lost."""
        job = self._tracker.store.job(fault.subject)
        if job is None or job.state is not JobState.STARTED:
            return None
        outcome = Outcome(fault.detail) if fault.detail else Outcome.LOST
        state = STATE_AFTER[outcome]
        if not state.is_final:
            state, outcome = JobState.FAILURE, Outcome.LOST
        reason = Reason.WORKER_LOST if outcome is Outcome.LOST else _REASONS.get(state)
        text = "its record was STARTED without an open attempt, which jobtrack doctor has mended"
        request = SettleRequest(
            origin=Origin(job_id=job.id, task=job.task),
            state=state,
            reason=reason,
            error=ErrorInfo(type="WorkerLost", message=text) if outcome is Outcome.LOST else None,
            only_from=frozenset({JobState.STARTED}),
            token=job.token,
            outcome=outcome,
            record_unknown=False,
        )
        applied = self._tracker.settle(request, tell=True).applied
        return f"the job was ended as {state}" if applied else None

    def _close_lost(self, fault: Fault) -> str | None:
        for attempt in self._tracker.store.attempts(fault.subject):
            if attempt.token == fault.detail and attempt.is_open:
                return self._closed(attempt)
        return None

    def _closed(self, attempt: Attempt) -> str | None:
        return "the attempt was closed as lost" if self._lost.close(attempt) else None

    def _make_member(self, fault: Fault) -> str | None:
        child = self._tracker.store.group(fault.subject)
        if child is None or child.is_over:
            return None
        origin = Origin(job_id=child.id, task=GROUP_TASK, group_id=child.parent_id)
        self._tracker.enqueue(EnqueueRequest(origin=origin, published=False))
        return f"group {child.parent_id} waits for it now"

    def _end_without_child(self, fault: Fault) -> str | None:
        text = f"the group {fault.subject} is not recorded any more"
        request = SettleRequest(
            origin=Origin(job_id=fault.subject, task=GROUP_TASK),
            state=JobState.FAILURE,
            reason=Reason.ERROR,
            error=ErrorInfo(type="UnknownGroup", message=text),
            record_unknown=False,
        )
        return (
            "the member was ended as FAILURE" if self._tracker.settle(request, tell=False).applied else None
        )

    def _tell_parent(self, fault: Fault) -> str | None:
        child = self._tracker.store.group(fault.subject)
        if child is None or child.closed_at is None:
            return None
        settled = self._tracker.closing.tell_parent(child)
        return "its parent was told" if settled.applied else None

    def _deliver(self, fault: Fault) -> str:  # noqa: ARG002 - all that are due are delivered, in their order
        if self._tracker.ports.delivers_here():
            self._tracker.delivery.deliver_due()
            return "it was delivered, or was tried again"
        self._tracker.ports.request_delivery()
        return "a worker was asked to deliver it"

    def _publish(self, fault: Fault) -> str | None:
        job = self._tracker.store.job(fault.subject)
        if job is None:
            return None
        if self._tracker.store.message(job.id) is None and job.state is JobState.ENQUEUED:
            raise JobTrackError("its message was not kept (jobtrack_keep_message), so it cannot be published")
        return "it was published again" if self._republisher.publish_now(job) else None


_WORDS = {
    FaultKind.ATTEMPT_OPEN: "the attempt was closed as lost",
    FaultKind.UNANNOUNCED: "the event was written, and will be delivered",
    FaultKind.ANNOUNCED: "the group is over now, or has begun its next generation",
    FaultKind.INDEX: "the index was put right",
    FaultKind.ORPHAN: "it was deleted",
    FaultKind.NO_GROUP: "the job is not counted any more",
    FaultKind.GIVEN_UP: "it will be delivered once more",
    FaultKind.PLACE: "its place was put right",
    FaultKind.LOCK: "its places were counted anew",
}
