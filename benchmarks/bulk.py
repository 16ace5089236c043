"""Writes what a memory store holds into an SQL store, by the SQL store's own maps and statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery_jobtrack.strategies.memory import MemoryStore
    from celery_jobtrack.strategies.sql import SqlStore


def copy(memory: MemoryStore, store: SqlStore) -> None:
    """Copy jobs, attempts, groups and events; nobody else may know of them yet.

    Args:
        memory: From where.
        store: To where, in one transaction.
    """
    tables, sql = memory._tables, store._sql  # noqa: SLF001 - the contract has no way in bulk, on purpose
    maps = sql.maps
    jobs = [{**maps.job.dump(job), "message": tables.messages.get(job.id)} for job in tables.jobs.values()]
    events = [maps.event.dump(event) for event in tables.events.values()]
    for event in events:
        del event["seq"]  # the database numbers them itself
    rows: list[tuple[Any, list[dict[str, Any]]]] = [
        (sql.insert_group, [maps.group.dump(group) for group in tables.groups.values()]),
        (sql.insert_job, jobs),
        (sql.insert_tag, [{"of_id": job.id, "tag": tag} for job in tables.jobs.values() for tag in job.tags]),
        (sql.insert_attempt, [maps.attempt.dump(attempt) for attempt in tables.attempts.values()]),
        (sql.insert_event, events),
    ]
    with store.transaction() as transaction:
        for statement, values in rows:
            if values:
                transaction.connection.execute(statement, values)
