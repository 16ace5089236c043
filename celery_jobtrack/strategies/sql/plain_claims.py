"""What the statements of plain cases do at the key that a job claims.

It is plain if the job claims one key, at which nobody waits and no time runs: its start takes a free place,
its end leaves the place, and nobody is to be called. These parts repeat as guards what ``row.locking`` says
of that case. The key's row is locked after the job's and before the group's, as everywhere, and before
anything is written; a guard that looks at another row without locking it is one whose answer cannot become
wrong meanwhile.

A place is found by its job, which has few: ``key || ''`` keeps the planner from the index of the key's line,
through all of which it would go, with whatever has been deleted of it lately.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.lock import Kind

if TYPE_CHECKING:
    from celery_jobtrack.model.lock import Claim

_KEPT_AFTER_START = frozenset({Kind.SLOTS, Kind.UNIQUE})


def start_may_be_plain(claims: tuple[Claim, ...]) -> bool:
    """Whether a job that claims this may be dispatched and started plainly."""
    if not claims:
        return True
    claim = claims[0]
    timed = claim.lease is not None or claim.at is not None or claim.interval is not None
    return len(claims) == 1 and claim.kind is Kind.SLOTS and not claim.until_start and not timed


def end_may_be_plain(claims: tuple[Claim, ...]) -> bool:
    """Whether a job that claimed this may end plainly: it has no place or the one, which may be timed."""
    if not claims:
        return True
    return len(claims) == 1 and claims[0].kind in _KEPT_AFTER_START and not claims[0].until_start


# Guards: the key is about slots, has room, and nobody waits there. The job's guards hold, and it has no place
# at any key, so there is none that its start gives up; that cannot change while its row is locked.
# Writes the key's row, or makes it with a fence that is later than any before (see ``model.lock``), and the
# place.
TAKING = {
    "taken": """open AS MATERIALIZED (
    SELECT TRUE FROM {jobs}
    WHERE {may_start} AND keyed
        AND NOT EXISTS (SELECT FROM {places} mine WHERE mine.job_id = :id)
    FOR UPDATE
), taken AS (
    INSERT INTO {locks} AS known (key, "limit", taken, waiting, fence, rejected, touched_at)
    SELECT :key::text, :limit::integer, 1, 0, now.at / 1000 + 1, 0, now.at
    FROM open, (SELECT {now} AS at) now
    ON CONFLICT (key) DO UPDATE SET
        "limit" = excluded."limit", taken = known.taken + 1, fence = known.fence + 1,
        touched_at = excluded.touched_at
    WHERE known.kind = 'slots' AND known.taken < excluded."limit" AND known.waiting = 0
    RETURNING fence
), """,
    "from_taken": "\n    FROM taken",
    "guard": "id = :id",
    "fence": ", fence",
    "placed": """, placed AS (
    INSERT INTO {places}
        (key, job_id, standing, fence, since, priority, precedence, recorded_at, across_retries)
    SELECT :key::text, id, 'holding', fence, started_at, urgent.priority, -urgent.priority,
        COALESCE(enqueued_at, started_at), :across_retries::boolean
    FROM started, LATERAL (
        SELECT LEAST(GREATEST(COALESCE(started.priority, 0), 0), {highest_priority}) AS priority
    ) urgent
)""",
}
# Guards: the job has no place that its start would give up, whatever its message said.
NOT_TAKING = {"taken": "", "from_taken": "", "guard": "{may_start} AND NOT keyed", "fence": "", "placed": ""}

# Guards: the job holds a place at this key and has no other one, which it cannot get while its row is locked;
# nobody waits at the key. The key's row is locked, then the place's: whoever took that away meanwhile has
# left none to be found.
# Writes, with the end of the job: the key's row, and the place goes.
LEAVING = {
    "open": """open AS MATERIALIZED (
    SELECT group_id, generation FROM {jobs}
    WHERE id = :id AND token = :token AND keyed AND NOT EXISTS (
        SELECT FROM {places} elsewhere WHERE elsewhere.job_id = :id AND elsewhere.key <> :key::text
    )
    FOR UPDATE
), held AS MATERIALIZED (
    SELECT TRUE FROM open, {locks} known, {places} mine
    WHERE known.key = :key::text AND waiting = 0
        AND mine.key || '' = :key::text AND mine.job_id = :id AND mine.standing = 'holding'
    FOR UPDATE OF known, mine
), """,
    "open_alone": "{open}",
    "from_held": "\n    FROM held",
    "and_held": ", held",
    "keyed": "keyed",
    "left": """, freed AS (
    UPDATE {locks} SET taken = GREATEST(taken - 1, 0), touched_at = ended.finished_at
    FROM ended WHERE {locks}.key = :key::text
), gone AS (
    DELETE FROM {places} USING ended WHERE {places}.key || '' = :key::text AND {places}.job_id = :id
)""",
}
# Guards: the job claims nothing, whatever its message said.
NOT_LEAVING = {
    "open": """open AS MATERIALIZED (
    SELECT group_id, generation FROM {jobs}
    WHERE id = :id AND token = :token AND NOT keyed
    FOR UPDATE
), """,
    "open_alone": "",
    "from_held": "",
    "and_held": "",
    "keyed": "NOT keyed",
    "left": "",
}

# Guards: the key has room, or the job is due later. The key's row is not locked: whether there is room is
# decided again when the job starts.
LOOKING = {
    "keyed_column": ", keyed",
    "keyed_value": ", TRUE",
    "room": """(
        :eta::bigint > {now} OR NOT EXISTS (
            SELECT FROM {locks} known
            WHERE known.key = :key::text AND (known.taken >= :limit::integer OR known.waiting > 0)
        )
    )""",
}
NOT_LOOKING = {"keyed_column": "", "keyed_value": "", "room": "TRUE"}

# Guards: none, as nobody looks at the keys of many at once.
FILING = {
    "keyed_array": ", :keyed::boolean[]",
    "keyed_column": ", keyed",
    "keyed_value": ", added.keyed",
}
NOT_FILING = {"keyed_array": "", "keyed_column": "", "keyed_value": ""}
