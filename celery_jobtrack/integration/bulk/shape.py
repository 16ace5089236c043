"""What the messages of many jobs have in common, learned from a message that Celery made.

Celery takes longer to put a message together than Redis takes to store it. The messages of one task
with the same options differ in few places, so the first is made by Celery and the others after it.
What cannot be told from one message is made by Celery each time; see ``shareable``.
"""

from __future__ import annotations

from dataclasses import fields
from types import FunctionType
from typing import TYPE_CHECKING, Any

from celery import Celery, Task
from celery.app.amqp import AMQP, task_message
from celery.app.routes import MapRoute

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.integration.bulk.gaps import Gaps, quoted, token
from celery_jobtrack.integration.bulk.reprs import Repr
from celery_jobtrack.integration.claims import GIVEN, declares_claims
from celery_jobtrack.integration.header import KEY
from celery_jobtrack.integration.kept import pack
from celery_jobtrack.integration.serialised import as_text, serialise
from celery_jobtrack.integration.shown import Showing
from celery_jobtrack.model.requests import EnqueueRequest, Origin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celery_jobtrack.integration.bulk.parcel import Single
    from celery_jobtrack.integration.runtime import Runtime

_OF_ONE_JOB = frozenset(
    {"eta", "countdown", "expires", "task_id", "chain", "chord", "root_id", "parent_id", "retries"}
    | {
        *GIVEN,
        "deadline",
        "run_late",
        "argsrepr",
        "kwargsrepr",
        "producer",
        "connection",
        "publisher",
        "router",
        "add_to_parent",
    }
)
"""Options that make a message depend on the moment, or on more than its arguments."""

_COMMON = [field for field in fields(Origin) if field.name not in {"job_id", "args", "kwargs", "root_id"}]


def shareable(app: Any, task: Any, options: Mapping[str, Any]) -> bool:
    """Whether the messages of this task with these options differ by id and arguments only.

    They may not where somebody else has a say: an overridden or patched method of Celery's, a router
    that is a function, arguments that are made of Pydantic models.
    """
    kind = type(task)
    return (
        not _OF_ONE_JOB.intersection(options)
        # Keys are made of a job's own arguments.
        and not declares_claims(task)
        and task.expires is None
        and getattr(task, "_dump_pydantic_arguments", None) is None
        and not getattr(task, "__v2_compat__", False)
        and not {"apply_async", "shadow_name"}.intersection(vars(task))
        and _is_celerys_own(Task, kind, "apply_async", "shadow_name", "_get_exec_options")
        and _is_celerys_own(Celery, type(app), "send_task")
        and "send_task" not in vars(app)
        and _is_celerys_own(AMQP, type(app.amqp), "as_task_v2")
        and all(isinstance(router, MapRoute) for router in app.amqp.router.routes)
    )


def _is_celerys_own(base: type, kind: type, *names: str) -> bool:
    for name in names:
        method = getattr(kind, name)
        if method is not getattr(base, name) or not isinstance(method, FunctionType):
            return False
        # What patches Celery replaces the function, and keeps no more than its names.
        if not method.__globals__["__name__"].startswith("celery."):
            return False
    return True


class Shape:
    """The messages of one task with the same options.

    Args:
        runtime: The app's.
        task: The registered task.
        example: A parcel of it that Celery made.
    """

    def __init__(self, runtime: Runtime, task: Any, example: Single) -> None:
        app, origin = runtime.app, example.request.origin
        self.name = example.name
        self.options = example.options
        self._headers, self._properties, body, self._sent_event = example.made
        self._embed = body[2]
        self._origin = origin
        self._common = {field.name: getattr(origin, field.name) for field in _COMMON}
        self._example_id = origin.job_id
        self._serializer = example.options.get("serializer") or app.conf.task_serializer
        self._check = task.__header__ if task.typing and hasattr(task, "__header__") else None
        self._show = Showing(runtime.settings, task)
        deepest = app.conf.get("task_repr_maxlevels")
        self._argsrepr = Repr(app.amqp.argsrepr_maxsize, deepest)
        self._kwargsrepr = Repr(app.amqp.kwargsrepr_maxsize, deepest)
        self._kept = None if example.request.message is None else self._learn_kept(body)

    @property
    def is_silent(self) -> bool:
        """Whether no monitoring event tells of its messages."""
        return self._sent_event is None

    @property
    def ignores_result(self) -> bool:
        """Whether nobody shall keep what its jobs return."""
        return bool(self._headers.get("ignore_result"))

    def fits(self, example: Single) -> bool:
        """Whether it makes of the example what Celery made, and puts nothing of it into another job."""
        args, kwargs, _ = example.made.body
        again = self.parcel(self._example_id, args, kwargs)
        other = self.parcel(token(), args, kwargs)
        return (
            again.request == example.request
            and again.message() == example.made
            and self._example_id not in repr(other.message())
            and self._example_id.encode() not in (other.request.message or b"")
        )

    def parcel(self, job_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Shaped:
        """A job of this shape.

        Raises:
            InvalidPayload: The arguments do not fit the task, or cannot be sent.
        """
        args, kwargs = args or (), kwargs or {}
        if self._check is not None:
            try:
                self._check(*args, **kwargs)
            except TypeError as error:
                raise InvalidPayload(f"the arguments do not fit {self.name}: {error}") from error
        parcel = Shaped(self, job_id, args, kwargs)
        parcel.argsrepr = self._argsrepr(args)
        parcel.kwargsrepr = self._kwargsrepr(kwargs)
        parcel.body = serialise(
            f"the arguments of {self.name}", (args, kwargs, self._embed), self._serializer
        )
        parcel.request = EnqueueRequest(
            origin=self._origin_of(job_id, args, kwargs), message=self._keep(parcel)
        )
        return parcel

    def message(
        self,
        job_id: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        argsrepr: str,
        kwargsrepr: str,
    ) -> task_message:
        """The message of one job, as Celery's sender takes it."""

        def own(common: Mapping[str, Any]) -> dict[str, Any]:
            return {name: job_id if value == self._example_id else value for name, value in common.items()}

        sent_event = None
        if self._sent_event is not None:
            sent_event = {**own(self._sent_event), "args": argsrepr, "kwargs": kwargsrepr}
        return task_message(
            headers={**own(self._headers), "argsrepr": argsrepr, "kwargsrepr": kwargsrepr},
            properties=own(self._properties),
            body=(args, kwargs, self._embed),
            sent_event=sent_event,
        )

    def _origin_of(self, job_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Origin:
        shown_args, shown_kwargs = self._show(args, kwargs)
        root_id = job_id if self._origin.root_id == self._example_id else self._origin.root_id
        return Origin(job_id=job_id, args=shown_args, kwargs=shown_kwargs, root_id=root_id, **self._common)

    def _learn_kept(self, body: Any) -> Gaps:
        tokens = {name: token() for name in ("id", "args", "kwargs", "body")}
        message = self.message(tokens["id"], (), {}, argsrepr=tokens["args"], kwargsrepr=tokens["kwargs"])
        own = {name: value for name, value in message.headers.items() if name != KEY}
        headers = {**own, **(self.options.get("headers") or {}), KEY: message.headers[KEY]}
        content_type, encoding, data = serialise(f"the arguments of {self.name}", body, self._serializer)
        gap: str | bytes = tokens["body"] if isinstance(data, str) else tokens["body"].encode()
        options = {**self.options, "queue": self._origin.queue}
        packed = pack(self.name, message._replace(headers=headers), (content_type, encoding, gap), options)
        places = {tokens[name]: name for name in ("id", "args", "kwargs")}
        return Gaps(packed.decode(), {**places, _as_kept(gap): "body"})

    def _keep(self, parcel: Shaped) -> bytes | None:
        if self._kept is None:
            return None
        values = {
            "id": quoted(parcel.job_id),
            "args": quoted(parcel.argsrepr),
            "kwargs": quoted(parcel.kwargsrepr),
            "body": quoted(_as_kept(parcel.body[2])),
        }
        return self._kept.fill(values).encode()


def _as_kept(data: str | bytes) -> str:
    return as_text(data)[0]


class Shaped:
    """A parcel of a shape."""

    __slots__ = ("args", "argsrepr", "body", "job_id", "kwargs", "kwargsrepr", "request", "shape")

    request: EnqueueRequest
    argsrepr: str
    kwargsrepr: str
    body: tuple[str, str, Any]
    """Content type, encoding, data: as it is sent, if it is not compressed."""

    def __init__(self, shape: Shape, job_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.shape = shape
        self.job_id = job_id
        self.args = args
        self.kwargs = kwargs

    @property
    def name(self) -> str:
        """The task's name."""
        return self.shape.name

    @property
    def options(self) -> Mapping[str, Any]:
        """How Celery sends it."""
        return self.shape.options

    @property
    def weight(self) -> int:
        """How many bytes it holds, about."""
        return len(self.body[2]) + len(self.request.message or b"")

    def message(self) -> task_message:
        """As Celery's sender takes it."""
        return self.shape.message(
            self.job_id, self.args, self.kwargs, argsrepr=self.argsrepr, kwargsrepr=self.kwargsrepr
        )
