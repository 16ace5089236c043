"""Keys and who stands at them, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from celery_jobtrack.cli.facts import facts, moment
from celery_jobtrack.cli.pages import listed
from celery_jobtrack.cli.table import Column, FittedTable
from celery_jobtrack.cli.times import ago
from celery_jobtrack.model.halt import is_gate
from celery_jobtrack.model.lock import Kind

if TYPE_CHECKING:
    from datetime import datetime

    from celery_jobtrack.features.locks import Lock
    from celery_jobtrack.model.requests import Page


def locks_page(page: Page, *, now: datetime) -> Group:
    """One page of keys, and how to ask for the next."""
    columns = (
        Column(title="KEY", cell=lambda lock: lock.key),
        Column(title="TAKEN", cell=_taken, right=True),
        Column(title="WAITING", cell=lambda lock: lock.waiting or "", right=True),
        Column(title="DUE", cell=lambda lock: ago(lock.due_at, now), rank=1),
        Column(title="HELD BY", cell=_holder),
        Column(title="REJECTED", cell=lambda lock: lock.rejected or "", rank=1, right=True),
        Column(title="FENCE", cell=lambda lock: lock.fence, rank=2, right=True),
        Column(title="SINCE", cell=lambda lock: ago(_since(lock), now)),
    )
    return listed(FittedTable(columns, page.items), page, what="locks", filtered=False)


def lock_details(lock: Lock, *, now: datetime) -> Group:
    """One key: who has it, and the line."""
    pairs = (
        ("key", lock.key),
        ("taken", _taken(lock)),
        ("waiting", str(lock.waiting)),
        *((("next is due", ago(lock.due_at, now)),) if lock.due_at is not None else ()),
        ("rejected", str(lock.rejected)),
        ("fence", str(lock.fence)),
        ("last used", moment(lock.touched_at, now)),
    )
    standing = (*lock.holders, *lock.line)
    if not standing:
        return Group(facts(pairs), Text(), Text("Nobody has it, and nobody waits.", style="dim"))
    columns = (
        Column(title="JOB", cell=lambda place: place.job_id),
        Column(title="STANDS", cell=lambda place: place.standing),
        Column(title="FENCE", cell=lambda place: place.fence or "", rank=1, right=True),
        Column(title="PRIORITY", cell=lambda place: place.priority or "", rank=2, right=True),
        Column(title="SINCE", cell=lambda place: ago(place.since, now)),
    )
    return Group(facts(pairs), Text(), FittedTable(columns, standing))


def _taken(lock: Lock) -> str:
    if lock.kind is Kind.CLOCK or is_gate(lock.key):
        return ""
    return f"{len(lock.holders)} of {lock.limit}"


def _holder(lock: Lock) -> str:
    if not lock.holders:
        return ""
    first, more = lock.holders[0].job_id, len(lock.holders) - 1
    return f"{first} and {more} more" if more else first


def _since(lock: Lock) -> datetime:
    return lock.holders[0].since if lock.holders else lock.touched_at
