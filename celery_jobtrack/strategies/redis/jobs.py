"""The transitions of jobs: one script each."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import GroupCancelled, GroupCompleted
from celery_jobtrack.model.answers import EnqueueResult, Settled, StartResult
from celery_jobtrack.model.state import REDRIVEN, STATE_AFTER, Outcome
from celery_jobtrack.strategies.redis.base import RedisBase
from celery_jobtrack.strategies.redis.fields import (
    CANCELLED_GROUP,
    CANCELLING_GROUP,
    COMPLETED_GROUP,
    OUTCOMES,
    OVERLAPPING,
    REASONS,
    REFUSALS,
    STATES,
    STRAY_JOB,
    UNKNOWN_GROUP,
    UNKNOWN_ORIGIN,
)
from celery_jobtrack.strategies.redis.group_records import load_events, title_of
from celery_jobtrack.strategies.redis.ids import pack_id, unpack_id
from celery_jobtrack.strategies.redis.job_records import (
    dump_error,
    dump_origin,
    dump_progress,
    dump_worker,
    load_job,
    load_last_attempt,
)
from celery_jobtrack.strategies.redis.lock_records import dump_claims, load_fences, load_ids, overlapping
from celery_jobtrack.strategies.redis.packing import pack, to_microseconds, whole
from celery_jobtrack.strategies.refusals import cancelled_group
from celery_jobtrack.strategies.strays import StrayJob
from celery_jobtrack.strategies.unknown import unknown_group, unknown_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.errors import JobTrackError
    from celery_jobtrack.model.job import JobRecord, Progress
    from celery_jobtrack.model.requests import (
        EnqueueRequest,
        FinishRequest,
        Origin,
        RedriveRequest,
        RequeueRequest,
        RetryRequest,
        SettleRequest,
        StartRequest,
    )

_REFUSAL = {code: refusal for refusal, code in REFUSALS.items()}
_worker = lru_cache(maxsize=64)(dump_worker)


class JobTransitions(RedisBase):
    """``enqueue``, ``start``, ``retry``, ``finish``, ``settle`` and what stands beside them."""

    def enqueue(self, request: EnqueueRequest) -> EnqueueResult:
        origin = request.origin
        claims = origin.claims
        answer = self._ask(
            "enqueue",
            pack_id(origin.job_id),
            dump_origin(origin),
            *_message(request.message),
            b"1" if request.published else b"0",
            *((self._claimant(), dump_claims(claims)) if claims else ()),
        )
        if answer[0] == OVERLAPPING:
            raise overlapping(origin.task, answer[1], answer[2])
        if answer[0] > 1:
            raise refused(answer[0], origin.group_id or "", answer[1], self._namespace)
        job, created = partial(load_job, origin.job_id, answer[1]), answer[0] == 1
        if len(answer) == 2:  # noqa: PLR2004
            return EnqueueResult(job=job, created=created)
        _, _, held_back, event, superseded, called = answer
        return EnqueueResult(
            job=job,
            created=created,
            held_back=bool(held_back),
            events=load_events(event),
            called=load_ids(called),
            superseded=load_ids(superseded),
        )

    def enqueue_many(self, requests: Sequence[EnqueueRequest]) -> Sequence[EnqueueResult]:
        if not requests:
            return ()
        group_id = requests[0].origin.group_id
        flags = "".join(str((request.message is not None) + 2 * request.published) for request in requests)
        arguments = [b"" if group_id is None else pack_id(group_id), flags.encode()]
        for request in requests:
            origin = request.origin
            arguments += (pack_id(origin.job_id), dump_origin(origin), request.message or b"")
        answer = self._ask("enqueue_many", *arguments)
        if answer[0] == STRAY_JOB:
            raise StrayJob(unpack_id(answer[1]), unpack_id(answer[2]) if answer[2] else None, group_id)
        if answer[0] != 1:
            raise refused(answer[0], group_id or "", answer[1], self._namespace)
        return [
            EnqueueResult(
                job=partial(load_job, request.origin.job_id, answer[at + 1]), created=bool(answer[at])
            )
            for at, request in zip(range(1, len(answer), 2), requests, strict=True)
        ]

    def start(self, request: StartRequest) -> StartResult:
        job_id = request.origin.job_id
        within, claims = request.origin.within, request.origin.claims
        more: tuple[bytes, ...] = ()
        if within:
            more = (pack([pack_id(group_id) for group_id in within]),)
        if claims:
            more = (*(more or (b"",)), dump_claims(claims))
        if not request.asks:
            more = (*more, *(b"",) * (2 - len(more)), b"1")
        refusal, settled, raw, event, *keys = self._with_origin("start", request, self._claimant(), *more)
        return StartResult(
            job=partial(load_job, job_id, raw),
            attempt=None if refusal else partial(load_last_attempt, job_id, raw),
            refusal=_REFUSAL[refusal] if refusal else None,
            settled=bool(settled),
            events=load_events(event),
            fences=load_fences(keys[0]) if keys else (),
            called=load_ids(keys[1]) if len(keys) > 1 else (),
            superseded=load_ids(keys[2]) if len(keys) > 2 else (),  # noqa: PLR2004
        )

    def retry(self, request: RetryRequest) -> Settled:
        answer = self._with_origin(
            "retry",
            request.start,
            self._claimant(),
            b"%d" % OUTCOMES[request.outcome],
            b"%d" % STATES[STATE_AFTER[request.outcome]],
            dump_error(request.error),
            dump_origin(request.origin),
            *_message(request.message),
        )
        return _settled(request.start.origin.job_id, answer)

    def finish(self, request: FinishRequest) -> Settled:
        answer = self._with_origin(
            "finish",
            request.start,
            self._claimant(),
            b"%d" % OUTCOMES[request.outcome],
            b"%d" % STATES[STATE_AFTER[request.outcome]],
            b"" if request.reason is None else b"%d" % REASONS[request.reason],
            dump_error(request.error),
            *(() if request.result is None else (request.result,)),
        )
        return _settled(request.start.origin.job_id, answer)

    def settle(self, request: SettleRequest) -> Settled:
        origin = request.origin

        def ask(said: bytes) -> Any:
            return self._ask(
                "settle",
                self._claimant(),
                pack_id(origin.job_id),
                said,
                b"1" if request.record_unknown else b"0",
                b"%d" % STATES[request.state],
                b"" if request.reason is None else b"%d" % REASONS[request.reason],
                dump_error(request.error),
                b"".join(b"%d" % STATES[state] for state in request.only_from),
                b"" if request.worker_id is None else pack_id(request.worker_id),
                b"" if request.token is None else pack_id(request.token),
                b"%d" % whole(origin.retries),
                b"%d" % OUTCOMES[request.outcome or Outcome(str(request.state))],
                b"" if request.run is None else b"%d" % request.run,
            )

        return _settled(origin.job_id, _in_two_steps(ask, origin))

    def requeue_lost(self, request: RequeueRequest) -> Settled:
        answer = self._ask(
            "requeue", pack_id(request.job_id), pack_id(request.token), dump_error(request.error)
        )
        return _settled(request.job_id, answer)

    def redrive(self, request: RedriveRequest) -> Settled:
        answer = self._ask(
            "redrive",
            pack_id(request.job_id),
            b"".join(b"%d" % STATES[state] for state in request.only_from & REDRIVEN),
            *_message(request.message),
            b"" if request.into is None else b"%d" % request.into,
        )
        if answer[0] == CANCELLING_GROUP:
            raise refused(answer[0], unpack_id(answer[2]), answer[1], self._namespace)
        if not answer[1]:
            raise unknown_job(request.job_id, self._namespace, so="cannot run again")
        return _settled(request.job_id, answer)

    def unpark(self, job_id: str) -> Settled:
        return _settled(job_id, self._ask("unpark", pack_id(job_id)))

    def record_progress(self, job_id: str, token: str, progress: Progress) -> bool:
        return bool(self._run("progress", pack_id(job_id), pack_id(token), dump_progress(progress)))

    def request_cancel(self, job_id: str) -> Settled:
        answer = self._ask("cancel", self._claimant(), pack_id(job_id))
        if not answer[1]:
            raise unknown_job(job_id, self._namespace, so="cannot be cancelled")
        return _settled(job_id, answer)

    def claim_copy(self, job: JobRecord) -> bool:
        seen = b"" if job.published_at is None else b"%d" % to_microseconds(job.published_at)
        return bool(self._run("copy", pack_id(job.id), seen, b"%d" % job.copies))

    def _with_origin(self, name: str, request: StartRequest, claimant: bytes, *more: bytes) -> Any:
        """Ask a script that begins with a start."""
        origin, worker = request.origin, request.worker
        packed = (
            claimant,
            pack_id(origin.job_id),
            pack_id(request.token),
            b"%d" % whole(origin.retries),
            b"%d" % whole(origin.run),
            _worker(worker.id, worker.name, worker.pid),
            b"1" if request.reruns else b"",
        )
        return _in_two_steps(lambda said: self._ask(name, *packed, said, *more), origin)


def _in_two_steps(ask: Any, origin: Origin) -> Any:
    """Ask without the message's word on its job, and with it if the job turns out not to be recorded.

    Nearly every job that starts or ends is recorded. Each step is one script that looks for itself.
    """
    answer = ask(b"")
    return ask(dump_origin(origin)) if answer[0] == UNKNOWN_ORIGIN else answer


def refused(code: int, group_id: str, texts: bytes, namespace: str) -> JobTrackError:
    """Why a group takes no member, or lets none run again, in words."""
    if code == UNKNOWN_GROUP:
        return unknown_group(group_id, namespace)
    title = title_of(texts)
    if code == CANCELLED_GROUP:
        return cancelled_group(title, group_id)
    if code == CANCELLING_GROUP:
        return GroupCancelled(
            f"group {title!r} ({group_id}) is being cancelled: none of its members can run again "
            "before all have ended"
        )
    assert code == COMPLETED_GROUP
    return GroupCompleted(f"batch {title!r} ({group_id}) has completed and takes no more members")


def _settled(job_id: str, answer: Any) -> Settled:
    applied, raw, event, *called = answer
    return Settled(
        job=partial(load_job, job_id, raw) if raw else None,
        applied=bool(applied),
        events=load_events(event),
        called=load_ids(called[0]) if called else (),
    )


def _message(message: bytes | None) -> tuple[bytes, bytes]:
    return (b"0", b"") if message is None else (b"1", message)
