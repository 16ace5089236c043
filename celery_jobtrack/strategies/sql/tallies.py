"""How members of one large group end without waiting for each other: PostgreSQL only.

Who writes a row holds it until the commit is on the disk, so members that all count themselves in their
group's row end one after the other. While many are outstanding, most are counted elsewhere: in some rows of
``tallies``, by each connection in one that nobody else is at. A tally has *room* for so many ends, and
``groups.reserved`` is what room was given in all. The group's numbers are its row and its tallies together.

The last member is never missed, because the ends that only count can never be all of them:

- An end is counted in a tally under the tally's lock, while there is room; or in the group's row under that
  one's lock, while more than one member is outstanding beyond ``reserved``. So one member at least is left.
- Whatever else is done to a group locks its row and then *gathers*: the tallies are deleted, which waits for
  those who are just counting there, and the row has it all. Who comes later finds no tally. So the general
  algorithm sees every end that was committed, and nobody counts beside it.

Rows are locked in the order job, group, tally; who counts in a tally does not touch the group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, cast, func, literal_column, select

from celery_jobtrack.strategies.sql.schema import ENDED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Column, ColumnElement, FromClause

    from celery_jobtrack.strategies.sql.schema import Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """When a group gets tallies, and how many."""

    slots: int = 16
    """As many can end at the same moment; every status reads all."""
    size: int = 256
    """From how many outstanding members on; at least ``slots`` more than ``left_over``."""
    left_over: int = 64
    """How many of these are not reserved: they are counted in the row, by who finds no tally free."""


# Guards: the group has many members outstanding, no tallies and nobody to tell of each step.
# Writes how much is reserved, and the tallies. Returns the group's id; nothing if another was faster.
OPEN = """
WITH opened AS (
    UPDATE {groups} SET
        reserved = (total - succeeded - failed - revoked - skipped - {left_over}) / {slots} * {slots}
    WHERE id = :group_id AND reserved = 0 AND completed_at IS NULL AND progress_every = 0
        AND total - succeeded - failed - revoked - skipped >= {size}
    RETURNING id, generation, first_failure IS NOT NULL AS failed_before, reserved / {slots} AS room
), opened_tallies AS (
    INSERT INTO {tallies}
        (group_id, slot, generation, failed_before, room, succeeded, failed, revoked, skipped)
    SELECT id, slot, generation, failed_before, room, 0, 0, 0, 0
    FROM opened, GENERATE_SERIES(0, {slots} - 1) AS slot
)
SELECT id FROM opened
"""

# Guards: the caller has locked the group's row.
# Deletes the tallies and adds them to the row. Returns the row's counters of members that have ended.
GATHER = """
WITH gathered AS (
    DELETE FROM {tallies} WHERE group_id = :group_id RETURNING succeeded, failed, revoked, skipped
), ended AS (
    SELECT
        COALESCE(SUM(succeeded), 0)::bigint AS succeeded, COALESCE(SUM(failed), 0)::bigint AS failed,
        COALESCE(SUM(revoked), 0)::bigint AS revoked, COALESCE(SUM(skipped), 0)::bigint AS skipped
    FROM gathered
)
UPDATE {groups} SET
    reserved = 0,
    succeeded = {groups}.succeeded + ended.succeeded, failed = {groups}.failed + ended.failed,
    revoked = {groups}.revoked + ended.revoked, skipped = {groups}.skipped + ended.skipped
FROM ended WHERE id = :group_id
RETURNING {groups}.succeeded, {groups}.failed, {groups}.revoked, {groups}.skipped
"""


def with_tallies(
    schema: Schema, columns: Sequence[Column[Any]]
) -> tuple[Sequence[ColumnElement[Any]], FromClause]:
    """What to select to read groups with what is tallied: the columns, in their order, and from where."""
    groups, tallies = schema.groups, schema.tallies
    sums = (
        select(*(cast(func.sum(tallies.c[name]), BigInteger).label(name) for name in ENDED))
        .where(tallies.c.group_id == groups.c.id, groups.c.reserved > literal_column("0"))
        .lateral("tallied")
    )
    added = {
        name: (groups.c[name] + func.coalesce(sums.c[name], literal_column("0"))).label(name)
        for name in ENDED
    }
    found = [added.get(column.name, column) for column in columns]
    return found, groups.join(sums, literal_column("TRUE"))
