"""Makes parcels of signatures."""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from celery.canvas import Signature

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.integration.bulk.keyed import id_from_key, strayed_by_key
from celery_jobtrack.integration.bulk.members import as_signature, checked_member, is_canvas, naming
from celery_jobtrack.integration.bulk.parcel import Single
from celery_jobtrack.integration.bulk.shape import Shape, shareable
from celery_jobtrack.integration.collector import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from celery_jobtrack.integration.bulk.parcel import Parcel
    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.strategies.strays import StrayJob

_SHAPES = 256
"""How many shapes are remembered: where every job has options of its own, there is nothing to share."""


class Call(NamedTuple):
    """A call of ``apply_async`` that a signature stands for."""

    signature: Signature[Any]
    task: Any
    job_id: str
    options: dict[str, Any]

    @property
    def is_plain(self) -> bool:
        """Whether it is a task's own ``apply_async`` with the signature's arguments and nothing else."""
        return type(self.signature) is Signature

    @property
    def kind(self) -> Hashable | None:
        """The same for calls of one task with the same options; None if that cannot be told."""
        if not self.is_plain:
            return None
        options = {name: value for name, value in self.signature["options"].items() if name != "task_id"}
        return _frozen((self.task.name, options)) if options else self.task.name

    def apply_async(self) -> None:
        """Call it. Nobody waits for the result, and a job that runs here does not collect it."""
        options = {**self.options, "task_id": self.job_id, "add_to_parent": False}
        if self.is_plain:
            self.task.apply_async(self.signature["args"], self.signature["kwargs"], **options)
        else:
            self.signature.apply_async(**options)


class Packer:
    """Makes a parcel of each signature: by Celery, or after a parcel of the same shape that Celery made.

    Args:
        runtime: The app's.
        group_id: Whose members all become; None leaves that to each signature.
        usual: Options for the signatures that do not say otherwise themselves.
        key: What the ids of jobs are made from; None for random ones.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        group_id: str | None = None,
        usual: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> None:
        self._runtime = runtime
        self._options: dict[str, Any] = {} if group_id is None else {"job_group": group_id}
        self._usual = usual or {}
        self._key = key
        self._shapes: dict[Hashable, Shape | None] = {}
        self.is_repeatable = key is not None
        """Whether any of the jobs so far may have been recorded before, as its id is not a new one."""

    def refused(self, stray: StrayJob) -> InvalidPayload:
        """What is said of a dispatch in which a job is a member of another group."""
        if self._key is None:
            return InvalidPayload(
                f"{stray}: a signature gives this task_id, and ids are unique; give it another"
            )
        return strayed_by_key(stray)

    def pack(self, item: Any, number: int) -> Parcel | None:
        """A parcel; None if the task's own ``apply_async`` sends no message of this job.

        Args:
            item: A signature.
            number: Its place among all, counted from 0.

        Raises:
            InvalidPayload: It is no signature that can be sent, or its arguments cannot.
            GroupNotSet: Its task runs in a group only.
        """
        with naming(number):
            return self._pack(self.call(item, number))

    def whole(self, item: Any) -> Callable[[], object] | None:
        """What sends a chain, a chord or a group; None for anything else.

        Raises:
            InvalidPayload: It cannot be known again by a key.
        """
        item = as_signature(self._runtime, item)
        if not isinstance(item, Signature) or not is_canvas(item):
            return None
        if self._key is not None:
            raise InvalidPayload(
                f"it is a {item.get('subtask_type') or 'piece of canvas'}, and a key does not know its jobs "
                "again, as they get other ids each time; dispatch it without a key"
            )
        usual = {name: value for name, value in self._usual.items() if name not in item["options"]}
        return partial(item.apply_async, **usual, **self._options)

    def call(self, item: Any, number: int) -> Call:
        """The call that a signature stands for. Raises InvalidPayload."""
        signature = checked_member(self._runtime, item)
        options = {**self._usual, **signature["options"], **self._options}
        job_id = options.pop("task_id", None)
        if job_id is None:
            job_id = self._new_id(number)
        else:
            self.is_repeatable = True
        return Call(signature, self._runtime.app.tasks[signature["task"]], job_id, options)

    def _pack(self, call: Call) -> Parcel | None:
        key = call.kind
        shape = None if key is None else self._shapes.get(key)
        if shape is not None:
            return shape.parcel(call.job_id, call.signature["args"], call.signature["kwargs"])
        collector = Collector(call.job_id)
        with self._runtime.collecting(collector):
            call.apply_async()
        if not collector.taken:
            return None
        made = Single(collector.taken[0])
        if key is not None and key not in self._shapes and len(self._shapes) < _SHAPES:
            self._shapes[key] = self._learn(call.task, made, call.options)
        return made

    def _learn(self, task: Any, made: Single, options: Mapping[str, Any]) -> Shape | None:
        if not shareable(self._runtime.app, task, options):
            return None
        shape = Shape(self._runtime, task, made)
        return shape if shape.fits(made) else None

    def _new_id(self, number: int) -> str:
        if self._key is None:
            return str(uuid.uuid4())
        return id_from_key(self._runtime.settings.namespace, self._key, number)


def _frozen(value: Any) -> Hashable | None:
    """A value that can be compared with others of its kind; None if it holds what cannot."""
    if value is None or isinstance(value, (str, int, float)):
        return type(value), value
    if isinstance(value, dict):
        return _all_frozen(type(value), [part for item in value.items() for part in item])
    if isinstance(value, (list, tuple)):
        return _all_frozen(type(value), value)
    return (type(value), value.id) if hasattr(value, "__json__") and hasattr(value, "id") else None


def _all_frozen(kind: type, values: Any) -> Hashable | None:
    frozen = tuple(_frozen(value) for value in values)
    return None if None in frozen else (kind, frozen)
