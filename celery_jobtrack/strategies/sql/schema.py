"""The tables of one namespace, and the indexes that the contract's queries need.

Some columns hold nothing of their own; ``records.py`` derives them. They are null wherever nobody looks for
the row, so that an index on them stays as small as what is due, also on MySQL, which has no partial indexes:
``jobs.due_at`` and ``jobs.expiring_at`` while a job is queued, ``events.pending`` until an event is
delivered. ``groups.progress_every`` tells statements what the callbacks want; ``places.precedence`` is the
priority the other way round, so that the line of a key is in the order of an index. ``tallies`` and
``groups.reserved`` are explained in ``tallies.py``, ``pauses`` in ``pauses.py``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    false,
    text,
)

from celery_jobtrack.errors import ConfigurationError
from celery_jobtrack.model.halt import HaltKind
from celery_jobtrack.model.lock import Kind, Standing
from celery_jobtrack.model.state import (
    EventKind,
    GroupOutcome,
    GroupState,
    JobState,
    Outcome,
    Reason,
)
from celery_jobtrack.strategies.sql.types import (
    BLOB,
    Callbacks,
    FreeText,
    Json,
    Key,
    Moment,
    Name,
    Number,
    Tags,
)

if TYPE_CHECKING:
    from sqlalchemy.schema import SchemaItem

SCHEMA_VERSION = 7
"""The version that this code writes; the newest of ``migrations/versions``."""

MYSQL_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_row_format": "DYNAMIC",
}

NOT_SUCCEEDED = "state <> 'SUCCESS'"
"""The condition of the index by state. Queries repeat it word for word, or SQLite does not see that it
holds: nearly all jobs of a full store succeeded, and those are found by ``seq`` as fast."""

MARKED = "standing IN ('called', 'superseded')"
"""The condition of the index of those who are about to move. Queries repeat it for the same reason."""


def table_prefix(namespace: str) -> str:
    """What the names of a namespace's tables begin with.

    Raises:
        ConfigurationError: The namespace is not made of 1 to 24 of ``a-z``, ``0-9`` and ``_``.
    """
    if re.fullmatch(r"[a-z0-9_]{1,24}", namespace) is None:
        raise ConfigurationError(
            f"namespace {namespace!r} cannot be part of a table's name: use 1 to 24 of a-z, 0-9 and _"
        )
    return "jobtrack_" if namespace == "default" else f"jobtrack_{namespace}_"


class Schema:
    """The tables under one prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.namespace = prefix.removeprefix("jobtrack_").removesuffix("_") or "default"
        self.metadata = MetaData()
        self.jobs = self._jobs()
        self.tags = self._tags()
        self.attempts = self._attempts()
        self.groups = self._groups()
        self.tallies = self._tallies()
        self.pauses = self._pauses()
        self.fillers = self._fillers()
        self.events = self._events()
        self.workers = self._workers()
        self.leases = self._leases()
        self.locks = self._locks()
        self.places = self._places()
        self.halts = self._halts()

    def _table(self, name: str, *parts: SchemaItem, **options: Any) -> Table:
        return Table(self.prefix + name, self.metadata, *parts, **MYSQL_OPTIONS, **options)

    def _index(self, table: Table, name: str, *columns: str, where: str | None = None) -> None:
        condition: dict[str, Any] = {}
        if where is not None:
            condition = {"postgresql_where": text(where), "sqlite_where": text(where)}
        Index(f"ix_{table.name}_{name}", *(table.c[column] for column in columns), **condition)

    def _unique(self, table: str, name: str, *columns: str) -> UniqueConstraint:
        return UniqueConstraint(*columns, name=f"uq_{self.prefix}{table}_{name}")

    def _jobs(self) -> Table:
        # What is long comes last: SQLite reads a row only as far as the last column asked for. But a flag and
        # a null are in the row's head, and cost nothing behind it.
        jobs = self._table(
            "jobs",
            _seq(),
            Column("id", Key, nullable=False),
            Column("task", Key, nullable=False),
            Column("state", Name(JobState), nullable=False),
            Column("reason", Name(Reason)),
            Column("queue", Key),
            Column("priority", Integer),
            Column("group_id", Key),
            Column("generation", BigInteger),
            Column("retries", Integer, nullable=False),
            Column("max_retries", Integer),
            Column("run", Integer, nullable=False),
            Column("attempts", Integer, nullable=False),
            Column("token", Key),
            Column("root_id", Key),
            Column("parent_id", Key),
            Column("enqueued_at", Moment),
            Column("published_at", Moment),
            Column("copies", Integer, nullable=False),
            Column("eta", Moment),
            Column("expires_at", Moment),
            Column("started_at", Moment),
            Column("finished_at", Moment),
            Column("due_at", Moment),
            Column("expiring_at", Moment),
            Column("cancel_requested", Boolean, nullable=False),
            Column("copy_waiting", Boolean, nullable=False),
            Column("progress_current", Number),
            Column("progress_total", Number),
            Column("progress_text", FreeText),
            Column("error_type", FreeText),
            Column("error_message", FreeText),
            Column("error_traceback", FreeText),
            Column("tags", Tags),
            Column("args", FreeText),
            Column("kwargs", FreeText),
            Column("message", BLOB),
            Column("result", BLOB),
            Column("keyed", Boolean, nullable=False, server_default=false()),
            Column("waits_for", Key),
            Column("blocked_by", Key),
            self._unique("jobs", "id", "id"),
        )
        self._index(jobs, "state", "state", "seq", where=NOT_SUCCEEDED)
        self._index(jobs, "member", "group_id", "state", "generation", where="group_id IS NOT NULL")
        self._index(jobs, "group", "group_id", "seq", where="group_id IS NOT NULL")
        self._index(jobs, "due", "queue", "due_at", where="due_at IS NOT NULL")
        self._index(jobs, "expiring", "expiring_at", where="expiring_at IS NOT NULL")
        self._index(jobs, "queue", "queue", "published_at", "started_at", where="started_at IS NOT NULL")
        self._index(jobs, "ended", "state", "finished_at", where="finished_at IS NOT NULL")
        return jobs

    def _tags(self) -> Table:
        tags = self._table(
            "tags",
            Column("seq", BigInteger, nullable=False),
            Column("tag", Key, nullable=False),
            PrimaryKeyConstraint("seq", "tag", name=f"pk_{self.prefix}tags"),
        )
        self._index(tags, "tag", "tag", "seq")
        return tags

    def _attempts(self) -> Table:
        attempts = self._table(
            "attempts",
            _seq(),
            Column("token", Key, nullable=False),
            Column("job_id", Key, nullable=False),
            Column("number", Integer, nullable=False),
            Column("worker_id", Key, nullable=False),
            Column("worker", FreeText, nullable=False),
            Column("pid", BigInteger, nullable=False),
            Column("retries", Integer, nullable=False),
            Column("run", Integer, nullable=False),
            Column("started_at", Moment, nullable=False),
            Column("finished_at", Moment),
            Column("outcome", Name(Outcome)),
            Column("late_outcome", Name(Outcome)),
            Column("error_type", FreeText),
            Column("error_message", FreeText),
            Column("error_traceback", FreeText),
            Column("reruns", Boolean, nullable=False, server_default=false()),
            self._unique("attempts", "token", "token"),
            self._unique("attempts", "number", "job_id", "number"),
        )
        self._index(attempts, "open", "outcome", "worker_id", where="outcome IS NULL")
        return attempts

    def _groups(self) -> Table:
        groups = self._table(
            "groups",
            _seq(),
            Column("id", Key, nullable=False),
            Column("key", Key),
            Column("parent_id", Key),
            Column("state", Name(GroupState), nullable=False),
            Column("generation", BigInteger, nullable=False),
            *(Column(name, BigInteger, nullable=False) for name in _TOTALS),
            *(Column(f"earlier_{name}", BigInteger, nullable=False) for name in _TOTALS),
            Column("standing", Boolean, nullable=False),
            Column("sealed", Boolean, nullable=False),
            Column("incomplete", Boolean, nullable=False),
            Column("time_to_check", Number, nullable=False),
            Column("settle_after", Number, nullable=False),
            Column("created_at", Moment, nullable=False),
            Column("started_at", Moment),
            Column("completed_at", Moment),
            Column("idle_since", Moment),
            Column("next_check_at", Moment),
            Column("title", FreeText, nullable=False),
            Column("description", FreeText, nullable=False),
            Column("payload", Json),
            Column("cancels_on_failure", Boolean, nullable=False, server_default=false()),
            Column("base_generation", BigInteger, nullable=False, server_default="1"),
            Column("first_failure", Key),
            Column("closed_at", Moment),
            Column("progress_every", Integer, nullable=False, server_default="0"),
            Column("callbacks", Callbacks),
            Column("reserved", BigInteger, nullable=False, server_default="0"),
            self._unique("groups", "id", "id"),
            self._unique("groups", "key", "key"),
        )
        self._index(groups, "state", "state", "seq")
        self._index(groups, "check", "next_check_at", where="next_check_at IS NOT NULL")
        self._index(groups, "completed", "completed_at", where="completed_at IS NOT NULL")
        self._index(
            groups,
            "cancelled",
            "state",
            "completed_at",
            where="state = 'CANCELLED' AND completed_at IS NULL",
        )
        return groups

    def _tallies(self) -> Table:
        return self._table(
            "tallies",
            Column("group_id", Key, nullable=False),
            Column("slot", Integer, nullable=False, autoincrement=False),
            Column("generation", BigInteger, nullable=False),
            Column("base_generation", BigInteger, nullable=False),
            Column("failed_before", Boolean, nullable=False),
            Column("room", BigInteger, nullable=False),
            *(Column(name, BigInteger, nullable=False) for name in ENDED),
            PrimaryKeyConstraint("group_id", "slot", name=f"pk_{self.prefix}tallies"),
        )

    def _pauses(self) -> Table:
        return self._table(
            "pauses",
            Column("group_id", Key, nullable=False),
            Column("generation", BigInteger, nullable=False, autoincrement=False),
            Column("slot", Integer, nullable=False, autoincrement=False),
            Column("retrying", BigInteger, nullable=False),
            Column("waiting", BigInteger, nullable=False),
            PrimaryKeyConstraint("group_id", "generation", "slot", name=f"pk_{self.prefix}pauses"),
        )

    def _fillers(self) -> Table:
        return self._table(
            "fillers",
            Column("group_id", Key, nullable=False),
            Column("token", Key, nullable=False),
            Column("until", Moment, nullable=False),
            PrimaryKeyConstraint("group_id", "token", name=f"pk_{self.prefix}fillers"),
        )

    def _events(self) -> Table:
        events = self._table(
            "events",
            _seq(),
            Column("id", Key, nullable=False),
            Column("kind", Name(EventKind), nullable=False),
            Column("group_id", Key, nullable=False),
            Column("generation", BigInteger, nullable=False),
            Column("pending", Boolean),
            Column("created_at", Moment, nullable=False),
            Column("claimed_by", Key),
            Column("claimed_until", Moment),
            Column("tries", Integer, nullable=False),
            Column("delivered_at", Moment),
            Column("undeliverable", Boolean, nullable=False),
            Column("error", FreeText),
            Column("step", BigInteger, nullable=False, server_default="0"),
            Column("outcome", Name(GroupOutcome)),
            Column("job_id", Key),
            self._unique("events", "id", "id"),
            self._unique("events", "step", "group_id", "generation", "kind", "step"),
        )
        self._index(events, "pending", "pending", "group_id", "seq", where="pending IS NOT NULL")
        self._index(events, "due", "pending", "seq", where="pending IS NOT NULL")
        return events

    def _workers(self) -> Table:
        return self._table(
            "workers",
            Column("id", Key, nullable=False),
            Column("name", FreeText, nullable=False),
            Column("pid", BigInteger, nullable=False),
            Column("registered_at", Moment, nullable=False),
            Column("heartbeat_at", Moment, nullable=False),
            Column("lease_until", Moment, nullable=False),
            Column("stopped_at", Moment),
            PrimaryKeyConstraint("id", name=f"pk_{self.prefix}workers"),
        )

    def _leases(self) -> Table:
        return self._table(
            "leases",
            Column("name", Key, nullable=False),
            Column("holder", Key, nullable=False),
            Column("until", Moment, nullable=False),
            PrimaryKeyConstraint("name", name=f"pk_{self.prefix}leases"),
        )

    def _locks(self) -> Table:
        # One index beside the key's, of a time that plain locks never have: a row of which no indexed
        # column changes is written anew in its own page.
        locks = self._table(
            "locks",
            Column("key", Key, nullable=False),
            Column("limit", Integer, nullable=False),
            Column("taken", Integer, nullable=False),
            Column("waiting", Integer, nullable=False),
            Column("fence", BigInteger, nullable=False),
            Column("rejected", BigInteger, nullable=False),
            Column("touched_at", Moment, nullable=False),
            Column("kind", Name(Kind), nullable=False, server_default=Kind.SLOTS.value),
            Column("interval", Number),
            Column("next_at", Moment),
            Column("due_at", Moment),
            PrimaryKeyConstraint("key", name=f"pk_{self.prefix}locks"),
        )
        self._index(locks, "due", "due_at", "key", where="due_at IS NOT NULL")
        return locks

    def _places(self) -> Table:
        places = self._table(
            "places",
            Column("key", Key, nullable=False),
            Column("job_id", Key, nullable=False),
            Column("standing", Name(Standing), nullable=False),
            Column("fence", BigInteger),
            Column("since", Moment, nullable=False),
            Column("priority", Integer, nullable=False),
            Column("precedence", Integer, nullable=False),
            Column("recorded_at", Moment, nullable=False),
            Column("across_retries", Boolean, nullable=False),
            Column("until_start", Boolean, nullable=False, server_default=false()),
            Column("until", Moment),
            PrimaryKeyConstraint("key", "job_id", name=f"pk_{self.prefix}places"),
        )
        self._index(places, "job", "job_id")
        self._index(places, "line", "key", "standing", "precedence", "recorded_at", "job_id")
        self._index(places, "marked", "standing", "since", "job_id", where=MARKED)
        return places

    def _halts(self) -> Table:
        return self._table(
            "halts",
            Column("kind", Name(HaltKind), nullable=False),
            Column("name", Key, nullable=False),
            Column("since", Moment, nullable=False),
            Column("reason", FreeText),
            Column("lifted", Boolean, nullable=False),
            PrimaryKeyConstraint("kind", "name", name=f"pk_{self.prefix}halts"),
        )


ENDED = ("succeeded", "failed", "revoked", "skipped")
"""Of a group's counters those of members that have ended."""
_TOTALS = ("total", *ENDED)


def _seq() -> Column[int]:
    """The order of writing; SQLite numbers rows by itself only under this very type."""
    return Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
