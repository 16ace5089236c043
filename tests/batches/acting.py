"""What is done to batches, from outside and from inside of their members: each call is written down.

The line before a call and the line after it bound the moment at which the call took effect.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import GroupCancelled, GroupCompleted
from tests.batches.plan import Batch, Entry, Member
from tests.crash import journal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from celery import Celery

    from celery_jobtrack import JobTrack

ACTS = "acts.jsonl"
EXPECTED = (GroupCancelled, GroupCompleted)
"""What a batch may answer to somebody who comes too late."""


class Abandoned(Exception):
    """Raised by the iterable of a batch's members, on purpose."""


class Acting:
    """Does things to batches, and writes them down.

    Args:
        app: With the tasks of the shop.
        jobtrack: Its tracking.
        folder: Of the run.
    """

    def __init__(self, app: Celery, jobtrack: JobTrack, folder: Path) -> None:
        self._app = app
        self._jobtrack = jobtrack
        self._path = folder / ACTS

    def dispatch(self, batch: Batch, parent: Any = None) -> Any:
        """Dispatch a batch; gives its group, or None if it was abandoned on purpose or came too late."""
        with self._written("dispatch", batch.name, names=_names(batch.entries)):
            how = {} if batch.chunk is None else {"chunk": batch.chunk}
            return self._build(batch, parent).dispatch(**how)
        return None

    def add(self, group: Any, target: str, entries: Iterable[Entry]) -> None:
        """Add jobs and batches to a group."""
        entries = tuple(entries)
        with self._written("add", target, names=_names(entries)):
            group.add([self._entry(entry) for entry in entries])

    def cancel(self, group: Any, target: str) -> None:
        """Cancel a group."""
        with self._written("cancel", target):
            group.cancel()

    def cancel_member(self, job_id: str, target: str) -> None:
        """Cancel one job."""
        with self._written("cancel-member", target, job=job_id):
            self._jobtrack.cancel(job_id)

    def retry(self, group: Any, target: str, **which: Any) -> int:
        """Run again what has failed. Returns how many jobs do."""
        with self._written("retry", target):
            return int(group.retry_failed(**which).queued)
        return 0

    def reopen(self, group: Any, target: str, entries: Iterable[Entry]) -> None:
        """Reopen a group, and add to it."""
        with self._written("reopen", target):
            group.reopen()
        self.add(group, target, entries)

    def _build(self, batch: Batch, parent: Any = None) -> Any:
        pending = self._jobtrack.batch(self._members(batch), title=batch.name, parent=parent)
        for callback in batch.callbacks:
            signature = self._app.tasks["batches.callback"].s(
                callback.kind.value, callback.number, callback.ending.value, callback.seconds
            )
            if callback.queue is not None:
                signature = signature.set(queue=callback.queue)
            name = "finally_" if callback.kind == "finally" else callback.kind.value
            about = {"every": callback.every} if callback.every else {}
            pending = getattr(pending, name)(signature, **about)
        if batch.allow_failures:
            pending = pending.allow_failures()
        return pending if batch.queue is None else pending.on_queue(batch.queue)

    def _members(self, batch: Batch) -> Iterator[Any]:
        for number, entry in enumerate(batch.entries):
            if number == batch.abandon_after:
                self._abandon(batch)
            time.sleep(batch.pause)  # drawn with the plan: it waits for nothing
            yield self._entry(entry)
        if batch.abandon_after is not None:
            self._abandon(batch)

    def _abandon(self, batch: Batch) -> None:
        journal.write(self._path, act="abandon", target=batch.name, phase="begin", call=None)
        raise Abandoned(batch.name)

    def _entry(self, entry: Entry) -> Any:
        if isinstance(entry, Batch):
            return self._build(entry)
        assert isinstance(entry, Member)
        return self._app.tasks[f"batches.{entry.kind.value}"].s(entry.name)

    @contextmanager
    def _written(self, act: str, target: str, **about: Any) -> Iterator[None]:
        call = f"{target}/{time.time_ns()}"
        facts = {"act": act, "target": target, "call": call, **about}
        journal.write(self._path, phase="begin", **facts)
        try:
            yield
        except EXPECTED as error:
            journal.write(self._path, phase="end", error=type(error).__name__, text=str(error), **facts)
        except Exception as error:
            abandoned = _is_abandonment(error)
            kind = "Abandoned" if abandoned else "surprise"
            journal.write(self._path, phase="end", error=kind, text=repr(error), **facts)
            if not abandoned:
                raise
        else:
            journal.write(self._path, phase="end", error=None, text="", **facts)


def _is_abandonment(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, Abandoned):
        error = error.__cause__
    return error is not None


def _names(entries: Iterable[Entry]) -> list[str]:
    return [entry.name for entry in entries]


def open_calls(folder: Path) -> list[dict[str, Any]]:
    """Calls that have begun and not ended."""
    calls: dict[str, dict[str, Any]] = {}
    for line in journal.read(folder / ACTS):
        if line["phase"] == "begin" and line["call"]:
            calls[line["call"]] = line
        else:
            calls.pop(line["call"], None)
    return list(calls.values())
