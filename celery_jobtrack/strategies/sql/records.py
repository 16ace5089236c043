"""Rows to records and back, by the fields of the records themselves."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from celery_jobtrack.model.event import EventRecord
from celery_jobtrack.model.group import GroupRecord, Totals
from celery_jobtrack.model.halt import Halt
from celery_jobtrack.model.job import Attempt, ErrorInfo, JobRecord, Progress
from celery_jobtrack.model.lock import LockRecord, Place
from celery_jobtrack.model.requests import WorkerRecord
from celery_jobtrack.model.state import QUEUED, JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Column, Table

    from celery_jobtrack.strategies.sql.schema import Schema

R = TypeVar("R")

QUEUED_OR_PARKED = QUEUED | {JobState.WAITING}


class RecordMap(Generic[R]):
    """How the records of one class lie in one table.

    A field lies in the column of its name. A field in ``parts`` is a record itself: each of *its*
    fields has a column, named with a prefix, and the first one is null when the field is None.

    Args:
        record: The class of the records.
        table: Where they are kept.
        parts: Fields that are records, with their class and the prefix of their columns.
        derived: Columns that are no fields, and how they follow from the record.
    """

    def __init__(
        self,
        record: Callable[..., R],
        table: Table,
        *,
        parts: Mapping[str, tuple[type, str]] | None = None,
        derived: Mapping[str, Callable[[R], Any]] | None = None,
    ) -> None:
        parts = parts or {}
        self._record = record
        self._derived = dict(derived or {})
        names = [field.name for field in fields(record)]  # type: ignore[arg-type]
        self._plain = [name for name in names if name not in parts]
        self._parts: list[tuple[str, type, list[str], list[str], slice]] = []
        self._plain_values = attrgetter(*self._plain)
        self._names = list(self._plain)
        for name, (part, prefix) in parts.items():
            inner = [field.name for field in fields(part)]
            columns = [prefix + field for field in inner]
            begin = len(self._names)
            self._names += columns
            self._parts.append((name, part, inner, columns, slice(begin, len(self._names))))

        self.columns: list[Column[Any]] = [table.c[name] for name in self._names]
        """What to select, in the order that ``load`` expects; other columns may follow."""

    @property
    def derived_names(self) -> list[str]:
        """The columns that hold nothing of their own."""
        return list(self._derived)

    def derived(self, record: R) -> dict[str, Any]:
        """What those columns should hold."""
        return {name: derive(record) for name, derive in self._derived.items()}

    def load(self, row: Sequence[Any]) -> R:
        """The record in a row that begins with ``columns``."""
        values: dict[str, Any] = dict(zip(self._plain, row))  # noqa: B905 - the row is longer
        for name, part, inner, _, where in self._parts:
            found = row[where]
            values[name] = None if found[0] is None else part(**dict(zip(inner, found)))  # noqa: B905
        return self._record(**values)

    def dump(self, record: R) -> dict[str, Any]:
        """Every column of a record."""
        row: dict[str, Any] = dict(zip(self._plain, self._plain_values(record), strict=True))
        for name, _, inner, columns, _ in self._parts:
            row.update(_spread(getattr(record, name), inner, columns))
        row.update((name, derive(record)) for name, derive in self._derived.items())
        return row

    def changes(self, before: R, after: R) -> dict[str, Any]:
        """The columns in which two states of a record differ, as they are afterwards."""
        compared = zip(self._plain, self._plain_values(before), self._plain_values(after), strict=True)
        changed: dict[str, Any] = {name: new for name, old, new in compared if new is not old and new != old}
        for name, _, inner, columns, _ in self._parts:
            old, new = getattr(before, name), getattr(after, name)
            if new is old or new == old:
                continue
            was = _spread(old, inner, columns)
            changed.update((c, v) for c, v in _spread(new, inner, columns).items() if v != was[c])
        for name, derive in self._derived.items():
            value = derive(after)
            if value != derive(before):
                changed[name] = value
        return changed


def _spread(part: object | None, inner: list[str], columns: list[str]) -> dict[str, Any]:
    if part is None:
        return dict.fromkeys(columns)
    return {column: getattr(part, name) for name, column in zip(inner, columns)}  # noqa: B905


def _due_at(job: JobRecord) -> datetime | None:
    """Since when a queued job's message has been due: the later of its publication and its eta."""
    if job.state not in QUEUED or job.published_at is None:
        return None
    return job.published_at if job.eta is None else max(job.published_at, job.eta)


def _expiring_at(job: JobRecord) -> datetime | None:
    return job.expires_at if job.state in QUEUED_OR_PARKED else None


def _pending(event: EventRecord) -> bool | None:
    return True if event.is_pending else None


class RecordMaps:
    """The maps of one namespace."""

    def __init__(self, schema: Schema) -> None:
        error = {"error": (ErrorInfo, "error_")}
        self.job = RecordMap(
            JobRecord,
            schema.jobs,
            parts={"progress": (Progress, "progress_"), **error},
            derived={"due_at": _due_at, "expiring_at": _expiring_at},
        )
        self.attempt = RecordMap(Attempt, schema.attempts, parts=error)
        self.group = RecordMap(
            GroupRecord,
            schema.groups,
            parts={"totals": (Totals, ""), "earlier": (Totals, "earlier_")},
            derived={"progress_every": lambda group: group.progress_every},
        )
        self.event = RecordMap(EventRecord, schema.events, derived={"pending": _pending})
        self.worker = RecordMap(WorkerRecord, schema.workers)
        self.halt = RecordMap(Halt, schema.halts)
        self.lock = RecordMap(LockRecord, schema.locks)
        self.place = RecordMap(Place, schema.places, derived={"precedence": lambda place: -place.priority})
