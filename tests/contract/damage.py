"""Somebody's hand in a store: writes what no transition would."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, update

from celery_jobtrack.model.state import JobState

if TYPE_CHECKING:
    from sqlalchemy import Table

    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.model.lock import Standing
    from celery_jobtrack.strategies.memory import MemoryStore
    from celery_jobtrack.strategies.sql import SqlStore


class MemoryHand:
    """In the tables of the memory store."""

    def __init__(self, store: MemoryStore) -> None:
        self._tables = store._tables

    def change(self, what: str, key: str, **values: Any) -> None:
        table = getattr(self._tables, what)
        table[key] = replace(table[key], **values)

    def queue(self, job: JobRecord) -> None:
        """Say that a job is queued, which makes its message due."""
        self.change("jobs", job.id, state=JobState.ENQUEUED)

    def delete(self, what: str, key: str) -> None:
        del getattr(self._tables, what)[key]
        if what == "jobs":
            self._tables.messages.pop(key, None)  # in a database it is part of the row
        {"jobs": self._tables.job_seqs, "groups": self._tables.group_seqs}.get(what, {}).pop(key, None)

    def delete_events(self, group_id: str, kind: str) -> None:
        for event in list(self._tables.events.values()):
            if event.group_id == group_id and event.kind == kind:
                del self._tables.events[event.id]

    def change_totals(self, group_id: str, **counters: int) -> None:
        group = self._tables.groups[group_id]
        self.change("groups", group_id, totals=replace(group.totals, **counters))

    def hold(self, group_id: str, token: str, until: Any) -> None:
        self._tables.fillers[group_id, token] = until

    def delete_place(self, key: str, job_id: str) -> None:
        del self._tables.places[key, job_id]

    def change_place(self, key: str, job_id: str, standing: Standing) -> None:
        place = self._tables.places[key, job_id]
        self._tables.places[key, job_id] = place.evolve(standing=standing)


class SqlHand:
    """In the tables of a database."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._schema = store._schema

    def change(self, what: str, key: str, **values: Any) -> None:
        table = getattr(self._schema, what)
        self.do(update(table).where(self._key(table) == key).values(**values))

    def queue(self, job: JobRecord) -> None:
        self.change("jobs", job.id, state=JobState.ENQUEUED, due_at=job.published_at)

    def delete(self, what: str, key: str) -> None:
        table = getattr(self._schema, what)
        self.do(delete(table).where(self._key(table) == key))

    def delete_events(self, group_id: str, kind: str) -> None:
        events = self._schema.events
        self.do(delete(events).where(events.c.group_id == group_id, events.c.kind == kind))

    def change_totals(self, group_id: str, **counters: int) -> None:
        self.change("groups", group_id, **counters)

    def hold(self, group_id: str, token: str, until: Any) -> None:
        self.do(insert(self._schema.fillers).values(group_id=group_id, token=token, until=until))

    def delete_place(self, key: str, job_id: str) -> None:
        places = self._schema.places
        self.do(delete(places).where(places.c.key == key, places.c.job_id == job_id))

    def change_place(self, key: str, job_id: str, standing: Standing) -> None:
        places = self._schema.places
        at_it = places.c.key == key, places.c.job_id == job_id
        self.do(update(places).where(*at_it).values(standing=standing))

    def do(self, statement: Any) -> None:
        with self._store._engine.begin() as connection:
            assert connection.execute(statement).rowcount, "nothing was there to be damaged"

    def _key(self, table: Table) -> Any:
        if table is self._schema.locks:
            return table.c.key
        return table.c.token if table is self._schema.attempts else table.c.id
