"""Which keys a job claims: from what its task declares, what its dispatch says, and its arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.integration.claims.arguments import Arguments
from celery_jobtrack.integration.claims.declared import declared_for
from celery_jobtrack.model.lock import Claim, Kind, OnConflict, in_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celery_jobtrack.model.overlap import Limit, Overlap
    from celery_jobtrack.model.unique import Unique

# With these the keys of tasks begin. Keys are taken by name: who has to wait for others of its own kind does
# so before it takes one of the slots that all share, and it is asked last whether it may start by the rate,
# which takes nothing back.
ALIKES, OVERLAPS, SLOTS, STARTS = "alike", "overlap", "slots", "starts"


def claims_of(
    task: Any,
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    given: Mapping[str, Any] | None = None,
) -> tuple[Claim, ...]:
    """The keys that a job claims, in the order in which they are taken.

    Args:
        task: The registered task; None where it is not known.
        name: The task's name.
        args: Of the job.
        kwargs: Of the job.
        given: Options of the dispatch, of which those in ``GIVEN`` go before what the task declares.

    Raises:
        InvalidPayload: A key cannot be made of these arguments, or an option is wrong.
        ConfigurationError: A declaration is wrong.
    """
    declared = declared_for(task, name, given or {})
    if not declared.all:
        return ()
    arguments = Arguments(task, name, args, kwargs)
    claims = []
    if declared.unique is not None:
        claims.append(_unique_claim(arguments, declared.unique))
    if declared.overlap is not None:
        claims.append(_overlap_claim(arguments, declared.overlap))
    if declared.limit is not None:
        claims.append(_slots_claim(arguments, declared.limit))
    if declared.rate is not None:
        claims.append(_rate_claim(arguments, declared.rate))
    return in_order(tuple(claims))


def _unique_claim(arguments: Arguments, unique: Unique) -> Claim:
    return Claim(
        key=arguments.key(ALIKES, unique.key, of_all=True),
        kind=Kind.UNIQUE,
        on_conflict=OnConflict.SKIP,
        until_start=unique.until == "start",
        lease=_seconds(unique.seconds),
    )


def _overlap_claim(arguments: Arguments, overlap: Overlap) -> Claim:
    return Claim(
        key=arguments.key(OVERLAPS, overlap.key, of_all=True, shared=overlap.shared),
        on_conflict=OnConflict(overlap.on_conflict),
        across_retries=overlap.across_retries,
        lease=_seconds(overlap.lease),
    )


def _slots_claim(arguments: Arguments, limit: Limit) -> Claim:
    assert isinstance(limit.count, int)
    return Claim(
        key=arguments.key(SLOTS, limit.key, of_all=False, shared=limit.shared),
        limit=limit.count,
        on_conflict=OnConflict(limit.on_conflict),
        across_retries=limit.across_retries,
    )


def _rate_claim(arguments: Arguments, rate: Limit) -> Claim:
    assert rate.burst is not None
    return Claim(
        key=arguments.key(STARTS, rate.key, of_all=False, shared=rate.shared),
        kind=Kind.RATE,
        limit=rate.burst,
        interval=rate.interval,
        on_conflict=OnConflict(rate.on_conflict),
    )


def _seconds(declared: Any) -> float | None:
    """A span that its declaration has checked and made a number."""
    return None if declared is None else float(declared)
