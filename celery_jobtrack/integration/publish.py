"""Publishing: the one place through which every message goes, whoever sends it.

``before_task_publish`` cannot refuse and no signal tells of a publish that failed, but
``apply_async``, ``send_task``, retries, beat and canvas all end in ``app.amqp.send_task_message``,
and Celery lets an app name the class of ``app.amqp``. So the job is recorded there, before its
message is sent.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from celery.app.amqp import AMQP
from kombu.utils.objects import cached_property

from celery_jobtrack.errors import (
    ConfigurationError,
    GroupNotSet,
    InvalidPayload,
    JobTrackError,
    StoreUnavailable,
)
from celery_jobtrack.integration.belonging import Belonging
from celery_jobtrack.integration.claims import GIVEN, claims_of, clock_claim, deadline_claim, is_far
from celery_jobtrack.integration.described import describe
from celery_jobtrack.integration.given_time import given_deadline
from celery_jobtrack.integration.header import KEY, Header
from celery_jobtrack.integration.kept import pack
from celery_jobtrack.integration.levels import number_of
from celery_jobtrack.integration.levels.connecting import connecting
from celery_jobtrack.integration.levels.declared import declare
from celery_jobtrack.integration.levels.routing import LevelRouter
from celery_jobtrack.integration.options import OPTIONS, checked_run_late, checked_store_result, checked_tags
from celery_jobtrack.integration.origin import moment, origin_of_message
from celery_jobtrack.integration.running import Running, current
from celery_jobtrack.integration.runtime import Runtime
from celery_jobtrack.integration.serialised import serialise
from celery_jobtrack.model.names import check_name
from celery_jobtrack.model.requests import EnqueueRequest, Origin, RetryRequest, SettleRequest, StartRequest
from celery_jobtrack.model.state import QUEUED, JobState, Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from celery_jobtrack.integration.levels import AppLevels
    from celery_jobtrack.model.answers import EnqueueResult
    from celery_jobtrack.model.lock import Claim

logger = logging.getLogger(__name__)


class TrackedAMQP(AMQP):
    """Celery's ``AMQP``, with every publish of a tracked job recorded first, and with ``jobtrack_queues``."""

    @property
    def Connection(self) -> Any:  # type: ignore[override] # noqa: N802 - Celery's name
        """What connections are made with."""
        base = super().Connection
        levels = self._levels
        return base if levels is None else connecting(levels, base)

    def Queues(self, queues: Any, *args: Any, levelled: bool = True, **kwargs: Any) -> Any:  # noqa: N802 - Celery's name
        """The app's queues, its levels among them."""
        made = super().Queues(queues, *args, **kwargs)
        levels = self._levels if levelled else None
        if levels is not None:
            declare(levels, made)
        return made

    def Router(self, queues: Any = None, create_missing: bool | None = None) -> Any:  # noqa: N802 - Celery's name
        """Celery's router, which refuses unknown queues where there are levels."""
        router: Any = super().Router(queues, create_missing)
        levels = self._levels
        if levels is None:
            return router
        return LevelRouter(levels, router.routes, router.queues, router.create_missing, app=self.app)

    @property
    def _levels(self) -> AppLevels | None:
        runtime = Runtime.of(self.app)
        return None if runtime is None else runtime.levels

    @cached_property
    def send_task_message(self) -> Callable[..., Any]:
        """Celery's sender with tracking around it."""
        send = self.send_untracked

        def send_tracked(producer: Any, name: str, message: Any, **options: Any) -> Any:
            own = {option: options.pop(option) for option in OPTIONS if option in options}
            runtime = Runtime.of(self.app)
            levels = self._levels
            if levels is not None:
                _give_priority(levels, options)
            if runtime is None or not runtime.enabled:
                return send(producer, name, message, **options)
            publication = Publication(runtime, send, name, message, own=own, options=options)
            collector = runtime.collector
            if collector is not None and collector.takes(publication):
                return None
            return publication.run(producer)

        return send_tracked

    @cached_property
    def send_untracked(self) -> Callable[..., Any]:
        """Celery's own sender."""
        sender: Callable[..., Any] = self._create_task_sender()  # type: ignore[attr-defined]
        return sender


def _give_priority(levels: AppLevels, options: dict[str, Any]) -> None:
    """Say to the broker what the level and the number of a message mean to it."""
    if options.get("exchange") and options.get("routing_key"):
        return  # it goes there, whatever its queue is
    amqp = levels.app.amqp
    queue = options.get("queue") or (None if options.get("exchange") else amqp.default_queue)
    if queue is not None:
        found = amqp.queues[queue] if isinstance(queue, str) else queue
        priority = levels.priority(found, options.get("priority"))
        if priority is not None:
            options["priority"] = priority


def install(app: Any) -> None:
    """Have an app publish through ``TrackedAMQP``, also when its ``amqp`` is in use already."""
    base = type(app.amqp) if "amqp" in vars(app) else _class_of(app.amqp_cls)
    if issubclass(base, TrackedAMQP):
        return
    tracked = TrackedAMQP if base is AMQP else type(base.__name__, (TrackedAMQP, base), {})
    if "amqp" in vars(app):
        app.amqp.__class__ = tracked
        vars(app.amqp).pop("send_task_message", None)
    app.amqp_cls = f"{__name__}:TrackedAMQP" if tracked is TrackedAMQP else tracked


def _class_of(named: Any) -> type:
    from kombu.utils.imports import symbol_by_name

    found: type = symbol_by_name(named)
    return found


class Publication:
    """One message on its way: whether it is tracked, what is recorded, what follows a failure."""

    def __init__(
        self,
        runtime: Runtime,
        send: Callable[..., Any],
        name: str,
        message: Any,
        *,
        own: Mapping[str, Any],
        options: dict[str, Any],
    ) -> None:
        self._runtime = runtime
        self._send = send
        self.name = name
        self.message = message
        self.options = options
        self._own = own
        self._headers: dict[str, Any] = {**message.headers, **(options.get("headers") or {})}
        self._running = self._running_here()
        self._deadline = self._read_deadline()
        self._belonging = Belonging(runtime, name, message, self._headers, own.get("job_group"))
        self._is_known = True
        """Whether the store knows of the job already; False when that is still in the spool."""
        self._is_held_back = False
        """Whether the job waits for its turn at a lock, or was skipped: nothing is sent."""

    @property
    def job_id(self) -> str:
        """The id that the message carries."""
        found: str = self._headers["id"]
        return found

    def run(self, producer: Any) -> Any:
        """Record the job if it is tracked, and send its message."""
        header = self._header()
        if header is None:
            return self._send(producer, self.name, self.message, **self.options)
        origin, kept = self._prepare(header)
        joined = self._belonging.join(origin)
        if joined:
            try:
                self._record(origin, kept, header)
            except JobTrackError:
                if not self._belonging.may_leave:
                    raise
                joined = False
        if not joined:
            header = self._header_alone(header)
            origin, kept = self._prepare(header)
            self._record(origin, kept, header)
        if self._is_held_back:
            return None
        try:
            return self._send(producer, self.name, self.message, **self.options)
        except Exception as error:
            self._publish_failed(origin, error)
            raise

    def prepare(self) -> EnqueueRequest:
        """What records the job, tracked whatever its task says; its message is ready to be sent by others.

        Raises:
            InvalidPayload: The arguments or options cannot be sent or kept.
            GroupNotSet: The task runs in a group only.
        """
        header = self._header(tracked=True)
        assert header is not None
        origin, kept = self._prepare(header)
        return EnqueueRequest(origin=origin, message=kept)

    def _running_here(self) -> Running | None:
        """The open attempt, if this message is its retry or its replacement: it has the same id."""
        running = current()
        same = running is not None and running.start.origin.job_id == self._headers["id"]
        return running if same else None

    def _header(self, *, tracked: bool = False) -> Header | None:
        """What goes along; None if this job is not tracked."""
        if self._running is not None:
            return self._running.header
        given = Header.load(self._headers)
        place = self._belonging.place(given)
        if not (tracked or self._belonging.is_tracked(given)):
            self._forget_header()
            return None
        task = self._runtime.known_task(self.name)
        if (
            place.group_id is None
            and not (place.flow is not None and place.flow.asked_for)
            and getattr(task, "group_required", False)
            and not self._headers.get("retries")
        ):
            raise GroupNotSet(
                f"task {self.name} runs in a group only (group_required = True) and was given none; "
                "pass job_group=, or dispatch it with .in_group(group)"
            )
        return Header(
            group_id=place.group_id or place.canvas_group,
            tags=self._tags(given),
            run=given.run if given else 1,
            max_retries=self._own.get("jobtrack_max_retries", given.max_retries if given else None),
            within=place.within,
            part_of=() if place.flow is None else place.flow.members_after(self.job_id),
            flow=place.flow,
            callback_of=given.callback_of if given else None,
            store_result=checked_store_result(
                self._own.get("store_result", given.store_result if given else None)
            ),
            claims=self._claims(task, given),
        )

    def _claims(self, task: Any, given: Header | None) -> tuple[Claim, ...]:
        if given is not None and given.claims and not GIVEN.intersection(self._own):
            return given.claims
        body = self.message.body
        if not isinstance(body, tuple):
            return ()
        return (*claims_of(task, self.name, body[0], body[1], self._own), *self._claims_of_time(task))

    def _claims_of_time(self, task: Any) -> tuple[Claim, ...]:
        runtime, eta = self._runtime, moment(self._headers.get("eta"))
        if not runtime.keeps_message_of(task):
            if self._deadline is not None:
                raise InvalidPayload(
                    f"task {self.name}: a deadline parks jobs in the store, which needs their messages: "
                    "set keep_message = True (jobtrack_keep_message)"
                )
            return ()
        if eta is not None:
            # A job that is due later goes by that: what is urgent by then is not known now.
            far = is_far(eta, runtime.settings.park_after, datetime.now(timezone.utc))
            return (clock_claim(eta),) if far else ()
        if self._deadline is None:
            return ()
        return (deadline_claim(self._queue_name(), self._deadline, runtime.settings.deadlines_ahead),)

    def _read_deadline(self) -> datetime | None:
        """The deadline of a new job, with which it expires unless it may run late."""
        given = self._own.get("deadline")
        if given is None:
            return None
        deadline = given_deadline(given, self._runtime.app)
        task = self._runtime.known_task(self.name)
        if not checked_run_late(self._own.get("run_late"), task):
            eta = moment(self._headers.get("eta"))
            if eta is not None and eta > deadline:
                raise InvalidPayload(
                    f"the job is due at {eta.isoformat(sep=' ', timespec='seconds')}, after its deadline "
                    f"{deadline.isoformat(sep=' ', timespec='seconds')}: it would never run"
                )
            expires = moment(self._headers.get("expires"))
            ends = deadline if expires is None else min(deadline, expires)
            self._headers["expires"] = self.message.headers["expires"] = ends.isoformat()
        return deadline

    def _queue_name(self) -> str | None:
        options, amqp = self.options, self._runtime.app.amqp
        queue = options.get("queue") or (None if options.get("exchange") else amqp.default_queue)
        return getattr(queue, "name", queue) or options.get("routing_key")

    def _header_alone(self, header: Header) -> Header:
        """The same for a job that Celery's group does not count."""
        self._belonging.leave()
        return replace(header, group_id=None, within=(), part_of=(), flow=None)

    def _forget_header(self) -> None:
        """What a canvas said of a task that is not tracked does not go along."""
        given = self.options.get("headers")
        if given and KEY in given:
            self.options["headers"] = {name: value for name, value in given.items() if name != KEY}
        self.message.headers.pop(KEY, None)

    def _tags(self, given: Header | None) -> tuple[str, ...]:
        tags = self._own.get("tags")
        return given.tags if tags is None and given else checked_tags(tags)

    def _prepare(self, header: Header) -> tuple[Origin, bytes | None]:
        """The job and its message as they are recorded; the message gets our header."""
        check_name("a task id", self._headers["id"], InvalidPayload)
        queue_name = self._queue_name()
        body = self.message.body
        if not isinstance(body, tuple):
            raise ConfigurationError("tracking needs task_protocol = 2, which is Celery's default")
        serializer = self.options.get("serializer") or self._runtime.app.conf.task_serializer
        sent = serialise(f"the arguments of {self.name}", body, serializer)
        priority = number_of(self.options.get("priority"), self._runtime.broker)
        origin = origin_of_message(
            self._runtime, self.name, self._headers, header, body=body, queue=queue_name, priority=priority
        )
        kept = self._pack(sent, header, {**self.options, "queue": queue_name})
        self.message.headers[KEY] = header.dump()
        return origin, kept

    def _pack(self, sent: tuple[str, str, Any], header: Header, options: Mapping[str, Any]) -> bytes | None:
        if not self._runtime.keeps_message_of(self._runtime.known_task(self.name)):
            return None
        message = self.message._replace(headers={**self._headers, KEY: header.dump()})
        try:
            return pack(self.name, message, sent, options)
        except (TypeError, ValueError) as error:
            logger.warning(
                "the headers of a %s job cannot be kept, so it cannot be published again: %s",
                self.name,
                error,
            )
            return None

    def _record(self, origin: Origin, kept: bytes | None, header: Header) -> None:
        if self._running is not None:
            self._record_next(self._running.start, origin, kept, self._running)
            return
        start = self._start_in_lost_child(origin) if origin.retries else None
        if start is not None:
            self._record_next(start, origin, kept, None)
            return
        request = EnqueueRequest(origin=origin, message=kept)
        # One that a flow leads to was counted before the flow began.
        is_new_member = header.group_id is not None and not self._belonging.is_counted
        if is_new_member or self._runtime.settings.on_store_error == "raise":
            # A new member needs the store, as nobody else would count it.
            result: EnqueueResult | None = self._runtime.tracker.enqueue(request)
        else:
            result = self._runtime.recorder.enqueue(request)
        self._is_known = result is not None
        self._is_held_back = result is not None and result.held_back
        if self._is_held_back:
            self._runtime.look_at_the_time()

    def _record_next(
        self, start: StartRequest, origin: Origin, kept: bytes | None, running: Running | None
    ) -> None:
        error = running.retried_for if running is not None else sys.exc_info()[1]
        retried = origin.retries > start.origin.retries
        request = RetryRequest(
            start=start,
            origin=origin,
            message=kept,
            outcome=Outcome.RETRY if retried else Outcome.REPLACED,
            error=describe(error) if error is not None and retried else None,
        )
        self._runtime.recorder.retry(request)
        if running is not None:
            running.closed = True

    def _start_in_lost_child(self, origin: Origin) -> StartRequest | None:
        """Celery 5.7 retries a task whose pool child was lost from the main process."""
        if not self._runtime.identity.is_set:
            return None
        worker = self._runtime.identity.worker()
        try:
            attempts = self._runtime.store.attempts(origin.job_id)
        except StoreUnavailable as error:
            logger.warning("%s; the start of the retry of job %s will record it", error, origin.job_id)
            return None
        for attempt in attempts:
            if attempt.is_open and attempt.worker_id == worker.id:
                before = Origin(job_id=origin.job_id, task=origin.task, retries=attempt.retries)
                return StartRequest(origin=before, token=attempt.token, worker=worker)
        return None

    def _publish_failed(self, origin: Origin, error: Exception) -> None:
        request = SettleRequest(
            origin=origin,
            state=JobState.FAILURE,
            reason=Reason.PUBLISH_FAILED,
            error=describe(error),
            only_from=QUEUED,
            record_unknown=not self._is_known,
        )
        self._runtime.recorder.settle(request, tell=self._running is not None)
