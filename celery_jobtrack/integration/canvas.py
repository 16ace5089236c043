"""Walks over canvas: what follows a message, where it ends, and a mark on each of its tasks.

Signatures are dictionaries here: in a worker they are just that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.utils import gen_unique_id

from celery_jobtrack.integration.flow import Flow
from celery_jobtrack.integration.header import KEY, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAPS = ("celery.map", "celery.starmap")
"""Celery's tasks that run another one many times, and stand for it."""
CHUNKS = "celery.chunks"
FOLLOWED = frozenset({"celery.accumulate", CHUNKS, *MAPS})
"""Tasks of Celery itself that are tracked where they are part of something that is."""

_Sig = Any
"""A ``Signature``, or the dictionary that is left of it in a message."""


def levels_after(embed: Mapping[str, Any]) -> Iterator[tuple[_Sig, list[_Sig]]]:
    """What follows a message and where that ends, then what follows these ends, and so on.

    A chain comes to its last task, and that of a chord's header to the chord's body. A group at the end
    is several ends on one level.

    Args:
        embed: What a message carries beside its arguments: its ``chain`` (the last task first) and its
            ``chord`` (the body).
    """
    chain = embed.get("chain")
    following = chain[0] if chain else embed.get("chord")
    while following:
        ends = list(_ends(following))
        if not ends:
            return
        yield following, ends
        following = next((end["options"]["chord"] for end in ends if end["options"].get("chord")), None)


def mark(embed: Mapping[str, Any], flow: Flow, *, header: str | None = None) -> None:
    """Have every task that follows a message carry its flow.

    The signatures are those of a message that is about to be sent, which are nobody else's.

    Args:
        embed: What follows the message.
        flow: The flow.
        header: The Celery group of the message, if that is the header of a chord: its body carries the
            same id, and is not in the group.
    """
    chord = embed.get("chord")
    if header is not None and chord:
        _mark(chord, flow.put_beside(header), further=False)
    for each in (*(embed.get("chain") or ()), chord):
        if each:
            _mark(each, flow)


def marked(embed: Mapping[str, Any]) -> Flow | None:
    """The flow that the tasks carry which follow a message."""
    following = [*(embed.get("chain") or ()), embed.get("chord")]
    return next((flow for each in following if each and (flow := _flow_of(each))), None)


def task_of(name: str, kwargs: Any) -> str:
    """The name of the task that a message runs; where that is Celery's map, of the mapped one."""
    if name in MAPS and isinstance(kwargs, dict) and isinstance(kwargs.get("task"), dict):
        return str(kwargs["task"].get("task", name))
    return name


def _inside(signature: _Sig) -> Iterator[_Sig]:
    """What a signature is made of: a chain's or a group's tasks, a chord's header and body."""
    kwargs = signature.get("kwargs") or {}
    match signature.get("subtask_type"):
        case "chain" | "group":
            yield from kwargs.get("tasks") or ()
        case "chord":
            header = kwargs.get("header") or ()
            yield from header["kwargs"]["tasks"] if isinstance(header, dict) else header
            if kwargs.get("body"):
                yield kwargs["body"]


def _ends(signature: _Sig) -> Iterator[_Sig]:
    chain = signature["options"].get("chain")
    if chain:
        yield from _ends(chain[0])
        return
    match signature.get("subtask_type"):
        case "chain":
            tasks = list(_inside(signature))
            yield from _ends(tasks[-1]) if tasks else ()
        case "group":
            for task in _inside(signature):
                yield from _ends(task)
        case "chord":
            body = signature["kwargs"].get("body")
            yield from _ends(body) if body else ()
        case _:
            # A task of a generator has its id only when it is asked for one.
            signature["options"].setdefault("task_id", gen_unique_id())
            yield signature


def _mark(signature: _Sig, flow: Flow, *, further: bool = True) -> None:
    """Mark a signature, all that is in it and, unless told otherwise, all that follows it.

    The body of a chord keeps what it carries: it may be met again by a replacement in the header.
    """
    options = signature["options"]
    known = _flow_of(signature)
    if known is None or known.beside is None:
        # Also where it is no task itself: a chord hands its options on to its header and its body.
        options["headers"] = {
            **(options.get("headers") or {}),
            KEY: {"v": VERSION, "flow": flow.dump()},
        }
        for inner in _inside(signature):
            _mark(inner, flow, further=further)
    if further:
        for step in (*(options.get("chain") or ()), options.get("chord")):
            if step:
                _mark(step, flow)


def _flow_of(signature: _Sig) -> Flow | None:
    found = ((signature.get("options") or {}).get("headers") or {}).get(KEY)
    return Flow.load(found.get("flow")) if isinstance(found, dict) else None
