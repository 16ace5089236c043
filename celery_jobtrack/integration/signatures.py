"""The signatures of callbacks: checked when they are given, kept with their group, sent when they are due."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from celery.canvas import Signature

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.integration.described import describe
from celery_jobtrack.integration.header import KEY, Header
from celery_jobtrack.integration.serialised import as_text, from_text, read, serialise
from celery_jobtrack.model.callback import Callback
from celery_jobtrack.model.requests import EnqueueRequest, Origin, SettleRequest
from celery_jobtrack.model.state import JobState, Reason

if TYPE_CHECKING:
    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.state import CallbackKind


def callback_of(
    runtime: Runtime, kind: CallbackKind, number: int, signature: Any, *, every: int = 0
) -> Callback:
    """A callback as it is kept with its group.

    Args:
        runtime: Of the app whose task it is.
        kind: When it is due.
        number: How many of this kind were given before.
        signature: ``task.s(…)`` or ``task.si(…)``.
        every: For ``PROGRESS``.

    Raises:
        InvalidPayload: It is no signature of one known task, or cannot be sent.
    """
    which = f"{kind} callback {number + 1}"
    checked = check_signature(runtime, signature, which)
    task = runtime.app.tasks[checked.task]
    if getattr(task, "group_required", False) or checked.options.get("job_group") is not None:
        raise InvalidPayload(
            f"{which}: {checked.task} would run in a group, and a callback is no member of one; "
            "it gets the id of its group as its first argument"
        )
    serializer = checked.options.get("serializer") or task.serializer or runtime.app.conf.task_serializer
    return Callback(
        kind=kind,
        number=number,
        task=checked.task,
        signature=_pack(dict(checked), serializer, f"{which} ({checked.task})"),
        every=every,
    )


def check_signature(runtime: Runtime, signature: Any, which: str) -> Any:
    """The signature, if it is one of a single task that this app knows.

    Raises:
        InvalidPayload: It is not; the error begins with ``which``.
    """
    if not isinstance(signature, Signature):
        hint = f"; write {signature.name}.s(…)" if hasattr(signature, "s") else "; write task.s(…)"
        raise InvalidPayload(f"{which} must be a signature, not {signature!r}{hint}")
    if signature.subtask_type:
        raise InvalidPayload(
            f"{which} is a {signature.subtask_type}, and must be the signature of a single task; "
            "send what should follow from that task"
        )
    if signature.task not in runtime.app.tasks:
        raise InvalidPayload(
            f"{which} is a signature of {signature.task!r}, a task that app {runtime.app.main!r} does not "
            "know; import its module"
        )
    return signature


def send_callback(runtime: Runtime, group: GroupRecord, callback: Callback, job_id: str, *, run: int) -> None:
    """Record and send the job of a group's callback.

    Raises:
        InvalidPayload: What is kept cannot be read here.
        Exception: Whatever sending raises.
    """
    signature = Signature.from_dict(_unpack(callback), app=runtime.app)
    options = dict(signature.options)
    headers = {**(options.pop("headers", None) or {}), KEY: Header(callback_of=group.id, run=run).dump()}
    options.update(task_id=job_id, root_id=job_id, headers=headers, add_to_parent=False)
    if runtime.app.conf.task_always_eager:
        # What becomes of it is its own affair, not that of the member which ran before.
        options["throw"] = False
    args = signature.args if signature.immutable else (group.id, *signature.args)
    bare = Signature(signature.task, app=runtime.app)
    origin = Origin(job_id=job_id, task=callback.task, run=run, callback_of=group.id)
    if runtime.app.conf.task_always_eager and not runtime.tracks(callback.task):
        runtime.tracker.enqueue(EnqueueRequest(origin=origin))
        result = bare.apply_async(args, dict(signature.kwargs), **options)
        runtime.tracker.settle(_ending(origin, result), tell=False)
    else:
        bare.apply_async(args, dict(signature.kwargs), **options)


def _ending(origin: Origin, result: Any) -> SettleRequest:
    """How a job ended that ran eagerly, and that nobody tracked: its task is a plain one."""
    if result.successful():
        return SettleRequest(origin=origin, state=JobState.SUCCESS)
    error = result.result
    return SettleRequest(
        origin=origin,
        state=JobState.FAILURE,
        reason=Reason.ERROR,
        error=describe(error) if isinstance(error, BaseException) else None,
    )


def _pack(signature: dict[str, Any], serializer: str, which: str) -> str:
    content_type, encoding, data = serialise(which, signature, serializer)
    text, binary = as_text(data)
    return json.dumps({"type": content_type, "encoding": encoding, "binary": binary, "data": text})


def _unpack(callback: Callback) -> Any:
    try:
        kept = json.loads(callback.signature)
        data = from_text(kept["data"], binary=kept["binary"])
        return read(data, kept["type"], kept["encoding"])
    except Exception as error:
        raise InvalidPayload(
            f"the signature of callback {callback.task} cannot be read here: {error}"
        ) from error
