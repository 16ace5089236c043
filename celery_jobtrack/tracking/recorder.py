"""Records what happens to jobs, whether the store is there or not."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from celery_jobtrack.errors import Overlapping, StoreUnavailable
from celery_jobtrack.model.requests import (
    EnqueueRequest,
    FinishRequest,
    RetryRequest,
    SettleRequest,
    StartRequest,
)
from celery_jobtrack.tracking.spool import SpoolFull

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celery_jobtrack.model.answers import EnqueueResult, Settled, StartResult
    from celery_jobtrack.tracking.entry import Request
    from celery_jobtrack.tracking.spool import Spool
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Recorder:
    """One method per fact that a job must not wait for. None says that the store is away.

    Then the fact is in the spool, from where it is recorded later; tracking does not break the job.

    Args:
        tracker: Gives the tracker over the opened store; may raise ``StoreUnavailable``.
        spool: Where facts are kept while the store is away.
        replays_here: Whether this process records what it has kept as soon as the store answers again.
            A worker's main process does so for its pool children.
    """

    def __init__(
        self, tracker: Callable[[], Tracker], spool: Spool, replays_here: Callable[[], bool]
    ) -> None:
        self._tracker = tracker
        self._spool = spool
        self._replays_here = replays_here
        self._kept = False
        self._kept_starts: set[str] = set()
        """Tokens of attempts whose start is kept and whose end has not been told."""

    def enqueue(self, request: EnqueueRequest) -> EnqueueResult | None:
        """A job is about to be published."""
        return self._recorded(request, lambda: self._tracker().enqueue(request))

    def enqueue_many(self, requests: Sequence[EnqueueRequest]) -> Sequence[EnqueueResult] | None:
        """A chunk of jobs is about to be published."""
        try:
            results = self._tracker().enqueue_many(requests)
        except StoreUnavailable as error:
            for request in requests:
                self._keep(request, error)
            return None
        self._replay_if_kept()
        return results

    def start(self, request: StartRequest) -> StartResult | None:
        """A body is about to run."""
        return self._recorded(request, lambda: self._tracker().start(request))

    def retry(self, request: RetryRequest) -> Settled | None:
        """A running job's next retry, or its replacement, is about to be published."""
        return self._recorded_after_start(request, lambda: self._tracker().retry(request))

    def finish(self, request: FinishRequest) -> Settled | None:
        """A body has ended."""
        return self._recorded_after_start(request, lambda: self._tracker().finish(request))

    def settle(self, request: SettleRequest, *, tell: bool) -> Settled | None:
        """A job has ended outside its attempt."""
        return self._recorded(request, lambda: self._tracker().settle(request, tell=tell))

    def has_nothing_kept(self) -> bool:
        """Whether all that happened on this machine is recorded."""
        return self._spool.is_empty()

    def replay_soon(self) -> None:
        """Record what earlier processes left behind, beside whatever this one does."""
        if not self._spool.is_empty():
            threading.Thread(target=self._replay_aside, name="jobtrack-replay", daemon=True).start()

    def replay(self) -> int:
        """Record what the spool keeps, of this process and of any other on this machine.

        Returns:
            How many facts were recorded.

        Raises:
            StoreUnavailable: The store is away.
        """
        if self._spool.is_empty():
            return 0
        # First, so that nothing is taken in hand while the store is away.
        self._tracker().ask_time()
        return self._spool.replay(self._record_again)

    def _recorded(self, request: Request, record: Callable[[], T]) -> T | None:
        try:
            result = record()
        except StoreUnavailable as error:
            self._keep(request, error)
            return None
        self._replay_if_kept()
        return result

    def _replay_if_kept(self) -> None:
        """The store has answered."""
        if self._kept:
            self._kept = False
            if self._replays_here():
                self.replay_soon()

    def _recorded_after_start(
        self, request: RetryRequest | FinishRequest, record: Callable[[], Settled]
    ) -> Settled | None:
        """Record what ends an attempt, behind what is still kept of its job.

        The attempt's start may be kept, and before it the end of the attempt before. Until both are
        recorded, the store knows another attempt as the open one, and refuses the end of this one.
        """
        token = request.start.token
        result = self._recorded(request, record)
        if token in self._kept_starts:
            self._kept_starts.discard(token)
            if result is not None and not result.applied:
                self._keep(request, StoreUnavailable("the start of the same attempt is kept"))
                return None
        return result

    def _keep(self, request: Request, error: StoreUnavailable) -> None:
        job_id = (
            request.start if isinstance(request, (RetryRequest, FinishRequest)) else request
        ).origin.job_id
        try:
            self._spool.keep(request)
        except (OSError, SpoolFull) as failure:
            logger.error(  # noqa: TRY400
                "%s of job %s is lost: the store is away (%s) and so is the spool (%s)",
                type(request).__name__,
                job_id,
                error,
                failure,
            )
            return
        if not self._kept:
            logger.warning(
                "%s; what happens to jobs is kept in %s until it is back", error, self._spool.folder
            )
        self._kept = True
        if isinstance(request, StartRequest):
            self._kept_starts.add(request.token)

    def _replay_aside(self) -> None:
        try:
            self.replay()
        except StoreUnavailable as error:
            self._kept = True
            logger.warning("%s; what is kept stays in %s", error, self._spool.folder)
        except Exception:  # of a thread that nobody waits for
            logger.exception("what is kept in %s cannot be recorded", self._spool.folder)

    def _record_again(self, request: Request) -> None:
        tracker = self._tracker()
        if isinstance(request, EnqueueRequest):
            # Its message has been sent all the same, and its body may have run: what is looked at before a
            # message is sent is no matter any more, and a key that is taken is the start's business.
            with suppress(Overlapping):
                tracker.enqueue(_sent_already(request))
        elif isinstance(request, StartRequest):
            # Its body has begun: what is paused now must not have it run once more.
            tracker.start(replace(request, asks=False))
        elif isinstance(request, RetryRequest):
            tracker.retry(request)
        elif isinstance(request, FinishRequest):
            tracker.finish(request)
        else:
            # Whoever settles a job without waiting for the store was told of its end by Celery.
            tracker.settle(request, tell=False)


def _sent_already(request: EnqueueRequest) -> EnqueueRequest:
    claims = tuple(claim for claim in request.origin.claims if not claim.from_dispatch)
    return replace(request, origin=replace(request.origin, claims=claims))
