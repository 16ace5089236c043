"""PostgreSQL's statements for the plain case of a transition: each is a whole transaction.

Each repeats, as guards, what ``model.moves`` and ``model.grouping`` say of the plain case. It returns one
row if the guards held and everything was written, or none if they did not and nothing was. The general
algorithm over locked rows decides every other case.

At READ COMMITTED a statement finds rows as they were when it began, waits for whoever holds one, and
looks at the guards once more on what that one left. That holds for the row that is updated or locked,
not for others that the statement reads: what is read of those must be such that it cannot become wrong
while the row is waited for. Rows are locked in the order job, key, group, as everywhere; what is done at a
key stands in ``plain_claims.py``.

Plans are made once for each connection, by what PostgreSQL knows of the tables then, which may be nothing.
So the guards are put such that only the unique indexes can serve: by that on states, which costs the same
while the store is empty, each start would later wade through the whole backlog.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING

from celery_jobtrack.model.lock import HIGHEST_PRIORITY
from celery_jobtrack.model.state import FINAL, JobState
from celery_jobtrack.strategies.sql import plain_claims as claims
from celery_jobtrack.strategies.sql.clock import POSTGRESQL_NOW
from celery_jobtrack.strategies.sql.pauses import RESUME, SLOTS
from celery_jobtrack.strategies.sql.tallies import GATHER, OPEN, Crowd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery_jobtrack.strategies.sql.records import RecordMaps
    from celery_jobtrack.strategies.sql.schema import Schema

_NOW = f"{POSTGRESQL_NOW} + :clock::bigint"
"""Asked anew when a guard is looked at once more: the time after waiting, not before it."""

_PARAMETER = re.compile(r"(?<!:):([a-z_]+)")

_COUNTERS = {
    JobState.SUCCESS: "succeeded",
    JobState.FAILURE: "failed",
    JobState.REVOKED: "revoked",
    JobState.SKIPPED: "skipped",
}


@dataclass(frozen=True, slots=True)
class PlainStatement:
    """A statement as PostgreSQL itself reads it, with ``$1``, and the names of its parameters in order."""

    text: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """The ends of attempts that end their jobs, by the job's state then."""

    alone: Mapping[JobState, PlainStatement]
    """For jobs without a group."""
    member: Mapping[JobState, PlainStatement]
    """For members of a group."""
    tallied: Mapping[JobState, PlainStatement]
    """For members of a group that has tallies."""


class PlainStatements:
    """The statements of one namespace; their parameters are named as the columns."""

    def __init__(self, schema: Schema, maps: RecordMaps, crowd: Crowd | None = None) -> None:
        self._names = {
            "jobs": schema.jobs.name,
            "tags": schema.tags.name,
            "attempts": schema.attempts.name,
            "groups": schema.groups.name,
            "tallies": schema.tallies.name,
            "locks": schema.locks.name,
            "places": schema.places.name,
            "pauses": schema.pauses.name,
            "halts": schema.halts.name,
            "pause_slots": str(SLOTS),
            **{name: str(value) for name, value in asdict(crowd or Crowd()).items()},
            "highest_priority": str(HIGHEST_PRIORITY),
            "job": ", ".join(column.name for column in maps.job.columns),
            "now": _NOW,
        }
        self.start = self._start(_NOT_PAUSED, claims.NOT_TAKING)
        """For all but members of a group that wait for a retry."""
        self.start_again = self._start(_PAUSED, claims.NOT_TAKING, resumed=_RESUMED)
        """For members of a group that wait for a retry."""
        self.start_keyed = self._start(_NOT_PAUSED, claims.TAKING)
        """For jobs that claim one key, but for members of a group that wait for a retry."""
        self.progress = self._named(_PROGRESS)
        self.finish = self._endings(claims.NOT_LEAVING)
        self.finish_keyed = self._endings(claims.LEAVING)
        """For jobs that claim one key."""
        self.enqueue = {
            (member, keyed, tagged): self._enqueue(member=member, keyed=keyed, tagged=tagged)
            for member, keyed, tagged in product((False, True), repeat=3)
        }
        """By whether the job has a group, one key, and tags."""
        self.enqueue_many = {
            (member, keyed): self._enqueue_many(member=member, keyed=keyed)
            for member, keyed in product((False, True), repeat=2)
        }
        """By whether the jobs have a group, and whether any of them claims keys."""
        self.open_tallies = self._named(OPEN)
        self.gather_tallies = self._named(GATHER)

    def _start(self, which: str, claiming: Mapping[str, str], resumed: str = "") -> PlainStatement:
        may_start = _MAY_START.format(**self._names, which=which).strip()
        parts = self._parts({**claiming, "resumed": resumed}, may_start=may_start)
        return self._named(_START, **parts)

    def _endings(self, claiming: Mapping[str, str]) -> Endings:
        parts = self._parts(claiming, open=claiming["open"].format(**self._names))
        of_state = [(state, {**parts, **_ending(state)}) for state in FINAL]
        return Endings(
            alone={state: self._named(_FINISH, **more) for state, more in of_state},
            member={state: self._named(_FINISH_MEMBER, **more) for state, more in of_state},
            tallied={state: self._named(_FINISH_TALLIED, **more) for state, more in of_state},
        )

    def _enqueue(self, *, member: bool, keyed: bool, tagged: bool) -> PlainStatement:
        looking = self._parts(claims.LOOKING if keyed else claims.NOT_LOOKING)
        membership = self._parts(_JOINING if member else _ALONE, **looking)
        filed = _FILED.format(**self._names) if tagged else ""
        return self._named(_ENQUEUE, **looking, **membership, filed=filed)

    def _enqueue_many(self, *, member: bool, keyed: bool) -> PlainStatement:
        membership = self._parts(_ALL_JOINING if member else _ALL_ALONE)
        return self._named(_ENQUEUE_MANY, **membership, **(claims.FILING if keyed else claims.NOT_FILING))

    def _parts(self, parts: Mapping[str, str], **more: str) -> dict[str, str]:
        return {name: part.format(**self._names, **more) for name, part in parts.items()}

    def _named(self, statement: str, **more: str) -> PlainStatement:
        text = statement.format(**self._names, **more).strip()
        names = list(dict.fromkeys(_PARAMETER.findall(text)))
        numbered = _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", text)
        return PlainStatement(numbered, tuple(names))


def _ending(state: JobState) -> dict[str, str]:
    message = ", message = NULL" if state is JobState.SUCCESS else ""
    fails = state is JobState.FAILURE
    return {
        "state": state.value,
        "counter": _COUNTERS[state],
        "message": message,
        "guard": " AND first_failure IS NOT NULL" if fails else "",
        "tally_guard": " AND failed_before" if fails else "",
    }


_MAY_START = """
    id = :id AND ({which}) IS TRUE AND token IS NULL AND NOT cancel_requested
        AND (run, retries) <= (:run::integer, :retries::integer)
        AND (expires_at IS NULL OR expires_at >= {now})
        AND (attempts = 0 OR NOT EXISTS (SELECT FROM {attempts} known WHERE known.token = :token))
        AND (NOT EXISTS (SELECT FROM {halts}) OR NOT EXISTS (
            SELECT FROM {halts} halt WHERE halt.name = CASE halt.kind
                WHEN 'queue' THEN {jobs}.queue WHEN 'task' THEN {jobs}.task END
        ))
        AND (group_id IS NULL
            OR (SELECT state FROM {groups} g WHERE g.id = {jobs}.group_id) IN ('RUNNING', 'COMPLETED'))
"""

# Guards: the job is queued, no attempt is open, and neither the message's age nor a cancellation nor the
# expiry is against it; the token is new; neither its queue nor its task is halted, which is read as it was
# when the statement began (twice, in an OR: of one alone PostgreSQL makes an anti join, which costs double);
# the job's group, if it has one, runs or has run.
# Reads the group without locking it: a group that this job is a member of does not await its first start
# again, and one that is being cancelled might as well have been cancelled a moment later.
# Writes the job, inserts its attempt, and counts a member out of those that wait for a retry.
# Returns the job, and the fence if it took a place at a key.
_START = """
WITH {taken}started AS (
    UPDATE {jobs} SET
        state = 'STARTED', token = :token, attempts = attempts + 1,
        retries = GREATEST(retries, :retries::integer), started_at = {now},
        due_at = NULL, expiring_at = NULL,
        progress_current = NULL, progress_total = NULL, progress_text = NULL,
        error_type = NULL, error_message = NULL, error_traceback = NULL{from_taken}
    WHERE {guard}
    RETURNING {job}{fence}
), opened AS (
    INSERT INTO {attempts}
        (token, job_id, number, worker_id, worker, pid, retries, run, started_at, reruns)
    SELECT :token, id, attempts, :worker_id, :worker, :pid::bigint, :retries::integer, run,
        started_at, :reruns::boolean
    FROM started
){resumed}{placed}
SELECT {job}{fence} FROM started
"""

_NOT_PAUSED = "state = 'ENQUEUED' OR (state = 'RETRY' AND generation IS NULL)"
_PAUSED = "state = 'RETRY' AND generation IS NOT NULL"
_RESUMED = f", resumed AS ({RESUME})"

# Guards: this attempt is the open one, and the job has no group. A job that has a token is STARTED, and
# the attempt with this token is open.
# Writes the job and its attempt. Returns the job.
_FINISH = """
WITH {open_alone}ended AS (
    UPDATE {jobs} SET
        state = '{state}', reason = :reason, token = NULL, copy_waiting = FALSE, finished_at = {now},
        error_type = :error_type, error_message = :error_message,
        error_traceback = :error_traceback{message}{from_held}
    WHERE id = :id AND token = :token AND group_id IS NULL AND {keyed}
    RETURNING {job}
), closed AS (
    UPDATE {attempts} SET
        outcome = :outcome, finished_at = ended.finished_at,
        error_type = ended.error_type, error_message = ended.error_message,
        error_traceback = ended.error_traceback
    FROM ended WHERE {attempts}.token = :token
){left}
SELECT {job} FROM ended
"""

# Guards: this attempt is the open one; the job is counted in the present numbers of its group, that
# is not over and tells nobody of its progress, and it is neither the last member outstanding beyond those
# that are reserved for tallies (see ``tallies.py``) nor the first that fails. The job's row is locked before
# the group's is looked at, and written only if the group was: if a guard fails, nothing is.
# Writes the group, the job and its attempt. Returns the job, whether the group has tallies, and whether it
# has so many outstanding that it should.
_FINISH_MEMBER = """
WITH {open}counted AS (
    UPDATE {groups} SET {counter} = {counter} + 1, idle_since = NULL
    FROM open{and_held}
    WHERE {groups}.id = open.group_id AND completed_at IS NULL
        AND open.generation BETWEEN {groups}.base_generation AND {groups}.generation
        AND total - succeeded - failed - revoked - skipped - reserved > 1 AND progress_every = 0{guard}
    RETURNING
        reserved > 0 AS is_tallied,
        total - succeeded - failed - revoked - skipped >= {size} AS is_crowded
), ended AS (
    UPDATE {jobs} SET
        state = '{state}', reason = :reason, token = NULL, copy_waiting = FALSE, finished_at = {now},
        error_type = :error_type, error_message = :error_message,
        error_traceback = :error_traceback{message}
    FROM counted WHERE id = :id
    RETURNING {job}, is_tallied, is_crowded
), closed AS (
    UPDATE {attempts} SET
        outcome = :outcome, finished_at = ended.finished_at,
        error_type = ended.error_type, error_message = ended.error_message,
        error_traceback = ended.error_traceback
    FROM ended WHERE {attempts}.token = :token
){left}
SELECT {job}, is_tallied, is_crowded FROM ended
"""

# Guards: this attempt is the open one; its group has a tally for the job's generation that nobody is at and
# that has room, and the job is not the first that fails. The tally's row is locked after the job's.
# Writes the tally, the job and its attempt. Returns the job.
_FINISH_TALLIED = """
WITH {open}tally AS MATERIALIZED (
    SELECT group_id, slot FROM {tallies} JOIN open USING (group_id){and_held}
    WHERE room > 0 AND open.generation BETWEEN {tallies}.base_generation AND {tallies}.generation{tally_guard}
    ORDER BY (slot + PG_BACKEND_PID()) % {slots} LIMIT 1
    FOR UPDATE OF {tallies} SKIP LOCKED
), tallied AS (
    UPDATE {tallies} SET {counter} = {counter} + 1, room = room - 1
    FROM tally
    WHERE {tallies}.group_id = tally.group_id AND {tallies}.slot = tally.slot
    RETURNING room
), ended AS (
    UPDATE {jobs} SET
        state = '{state}', reason = :reason, token = NULL, copy_waiting = FALSE, finished_at = {now},
        error_type = :error_type, error_message = :error_message,
        error_traceback = :error_traceback{message}
    FROM tallied WHERE id = :id
    RETURNING {job}
), closed AS (
    UPDATE {attempts} SET
        outcome = :outcome, finished_at = ended.finished_at,
        error_type = ended.error_type, error_message = ended.error_message,
        error_traceback = ended.error_traceback
    FROM ended WHERE {attempts}.token = :token
){left}
SELECT {job} FROM ended
"""

# Guards: this attempt is the open one. Writes the job. Returns its id.
_PROGRESS = """
UPDATE {jobs} SET
    progress_current = :progress_current::double precision,
    progress_total = :progress_total::double precision, progress_text = :progress_text
WHERE id = :id AND token = :token
RETURNING id
"""

# Guards: the id is new. Of two publishers of one id that come at once, one waits for the other and then
# writes nothing; if there is a group, its count is undone with the whole statement, which fails.
# Writes the job, with its group counted in before, and files it under its tags.
# Returns the time and the generation.
_ENQUEUE = """
WITH {joined}recorded AS (
    INSERT INTO {jobs}
        (id, task, state, queue, priority, group_id, generation, retries, max_retries, run, attempts,
        root_id, parent_id, enqueued_at, published_at, copies, eta, expires_at, due_at, expiring_at,
        cancel_requested, copy_waiting, tags, args, kwargs, message{keyed_column})
    SELECT :id, :task, 'ENQUEUED', :queue, :priority::integer, {membership}, :retries::integer,
        :max_retries::integer, :run::integer, 0, :root_id, :parent_id, now.at, now.at, 0, :eta::bigint,
        :expires_at::bigint, GREATEST(now.at, :eta::bigint), :expires_at::bigint,
        FALSE, FALSE, :tags, :args, :kwargs, :message::bytea{keyed_value}
    FROM {source}
    RETURNING seq, enqueued_at, generation
){filed}
SELECT enqueued_at, generation FROM recorded
"""

_ALONE = {
    "joined": "",
    "membership": "NULL, NULL::bigint",
    "source": "(SELECT {now} AS at) now WHERE {room} ON CONFLICT (id) DO NOTHING",
}

# Guards: the group takes members and its generation is not over; the id is new, as far as one can see
# before it is inserted.
_JOINING = {
    "joined": """joined AS (
    UPDATE {groups} SET
        total = total + 1, idle_since = NULL,
        next_check_at = COALESCE(next_check_at, {now} + ROUND(time_to_check * 1000000)::bigint)
    WHERE id = :group_id AND state <> 'CANCELLED' AND completed_at IS NULL
        AND NOT EXISTS (SELECT FROM {jobs} known WHERE known.id = :id) AND {room}
    RETURNING generation
), """,
    "membership": ":group_id, joined.generation",
    "source": "joined, (SELECT {now} AS at) now",
}

_FILED = """, filed AS (
    INSERT INTO {tags} (seq, tag) SELECT seq, UNNEST(:labels::text[]) FROM recorded
)"""

# Guards: none but those of the group. An id that is known is left out: whoever finds fewer jobs recorded
# than were asked for undoes it.
# Writes the jobs in their order, files them under their tags, and counts them in the group, whose row is
# locked last: while they are inserted its members can end.
# Returns the time, the generation and how many were recorded; nothing if the group takes none.
_ENQUEUE_MANY = """
WITH {seen}added AS (
    SELECT new.* FROM UNNEST(
        :ids::text[], :tasks::text[], :queues::text[], :priorities::integer[], :retries::integer[],
        :max_retries::integer[], :runs::integer[], :root_ids::text[], :parent_ids::text[], :etas::bigint[],
        :expiries::bigint[], :published::boolean[], :tag_lists::text[], :args::text[], :kwargs::text[],
        :messages::bytea[]{keyed_array}
    ) WITH ORDINALITY AS new(
        id, task, queue, priority, retries, max_retries, run, root_id, parent_id, eta, expires_at, published,
        tags, args, kwargs, message{keyed_column}, number
    )
), moment AS MATERIALIZED (
    SELECT {now} AS at
), recorded AS (
    INSERT INTO {jobs}
        (id, task, state, queue, priority, group_id, generation, retries, max_retries, run, attempts,
        root_id, parent_id, enqueued_at, published_at, copies, eta, expires_at, due_at, expiring_at,
        cancel_requested, copy_waiting, tags, args, kwargs, message{keyed_column})
    SELECT added.id, added.task, 'ENQUEUED', added.queue, added.priority, {membership}, added.retries,
        added.max_retries, added.run, 0, added.root_id, added.parent_id, moment.at,
        CASE WHEN added.published THEN moment.at END, 0, added.eta, added.expires_at,
        CASE WHEN added.published THEN GREATEST(moment.at, added.eta) END, added.expires_at,
        FALSE, FALSE, added.tags, added.args, added.kwargs, added.message{keyed_value}
    FROM added, {source}
    ORDER BY added.number
    ON CONFLICT (id) DO NOTHING
    RETURNING seq, id
), filed AS (
    INSERT INTO {tags} (seq, tag)
    SELECT recorded.seq, labels.tag
    FROM recorded JOIN UNNEST(:labelled::text[], :labels::text[]) AS labels(id, tag) USING (id)
), counted AS (
    SELECT COUNT(*) AS jobs FROM recorded
){joined}
SELECT moment.at, {generation}, counted.jobs FROM moment, counted{from_joined}
"""

_ALL_ALONE = {
    "seen": "",
    "membership": "NULL, NULL::bigint",
    "source": "moment",
    "joined": "",
    "generation": "NULL",
    "from_joined": "",
}

# Guards: the group takes members and its generation is not over, before and after the insertion.
_ALL_JOINING = {
    "seen": """seen AS MATERIALIZED (
    SELECT generation FROM {groups}
    WHERE id = :group_id AND state <> 'CANCELLED' AND completed_at IS NULL
), """,
    "membership": ":group_id, seen.generation",
    "source": "moment, seen",
    "joined": """, joined AS (
    UPDATE {groups} SET
        total = total + counted.jobs, idle_since = NULL,
        next_check_at = COALESCE(next_check_at, moment.at + ROUND(time_to_check * 1000000)::bigint)
    FROM seen, counted, moment
    WHERE id = :group_id AND state <> 'CANCELLED' AND completed_at IS NULL
        AND {groups}.generation = seen.generation
    RETURNING {groups}.generation
)""",
    "generation": "joined.generation",
    "from_joined": ", joined",
}
