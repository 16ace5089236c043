"""Records chunks before they are sent, and what could not be sent after that."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from celery_jobtrack.integration.bulk.parcel import OfRun
from celery_jobtrack.integration.described import describe
from celery_jobtrack.model.requests import SettleRequest
from celery_jobtrack.model.state import QUEUED, JobState, Reason
from celery_jobtrack.strategies.strays import StrayJob

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from celery_jobtrack.integration.bulk.packing import Packer
    from celery_jobtrack.integration.bulk.parcel import Parcel
    from celery_jobtrack.integration.runtime import Runtime


class Recorded(NamedTuple):
    """What is to be sent of a chunk, and how many wait in the store or were skipped."""

    new: Sequence[Parcel]
    held_back: int


class Recording:
    """Writes chunks into the store.

    Args:
        runtime: The app's.
        packer: Knows whether jobs may have been recorded by an earlier dispatch.
    """

    def __init__(self, runtime: Runtime, packer: Packer) -> None:
        self._runtime = runtime
        self._packer = packer
        self._is_kept = False
        """Whether anything went into the spool, so that the store may not know of it yet."""

    def record(self, parcels: Sequence[Parcel]) -> Recorded:
        """Record a chunk of one group, or of none.

        Raises:
            UnknownGroup, GroupCancelled, GroupCompleted: The group takes no members.
            InvalidPayload: A job was dispatched before into another group: this one would complete without
                it, and take that for a success. Nothing is recorded.
            StoreUnavailable: The store is away, and the jobs need it.
        """
        try:
            return self._record(parcels)
        except StrayJob as error:
            raise self._packer.refused(error) from error

    def _record(self, parcels: Sequence[Parcel]) -> Recorded:
        requests = [parcel.request for parcel in parcels]
        # As for a single job: a new member needs the store, as nobody else would count it. So does a key.
        needs_store = requests[0].origin.group_id is not None or self._packer.is_repeatable
        if needs_store or self._runtime.settings.on_store_error == "raise":
            results = self._runtime.tracker.enqueue_many(requests)
        else:
            kept = self._runtime.recorder.enqueue_many(requests)
            if kept is None:
                self._is_kept = True
                return Recorded(new=parcels, held_back=0)
            results = kept
        new, held_back = [], 0
        for parcel, result in zip(parcels, results, strict=True):
            if not result.created:
                continue
            if result.held_back:
                held_back += 1
                continue
            # The store reads a whole job to say its run; only an id that is not new can have had one.
            run = result.job.run if self._packer.is_repeatable else 1
            new.append(parcel if run == 1 else OfRun(parcel, run))
        return Recorded(new=new, held_back=held_back)

    def settle_unsent(self, parcels: Sequence[Parcel], cause: Exception) -> None:
        """End the recorded jobs that will not be sent."""
        for parcel in parcels:
            request = SettleRequest(
                origin=parcel.request.origin,
                state=JobState.FAILURE,
                reason=Reason.PUBLISH_FAILED,
                error=describe(cause),
                only_from=QUEUED,
                record_unknown=self._is_kept,
            )
            self._runtime.recorder.settle(request, tell=False)


def by_group(parcels: Iterable[Parcel]) -> Iterable[list[Parcel]]:
    """The parcels, parted by the group that they are members of."""
    found: dict[str | None, list[Parcel]] = {}
    for parcel in parcels:
        found.setdefault(parcel.request.origin.group_id, []).append(parcel)
    return found.values()
