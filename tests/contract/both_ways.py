"""One random run on two stores: through the statements for plain cases, and through the general algorithm."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from celery_jobtrack.errors import JobTrackError
from celery_jobtrack.model.answers import EnqueueResult, Settled, StartResult
from celery_jobtrack.model.callback import Callback
from celery_jobtrack.model.halt import HaltKind, gate_of
from celery_jobtrack.model.job import ErrorInfo, Progress
from celery_jobtrack.model.lock import Claim, Kind, OnConflict
from celery_jobtrack.model.requests import EnqueueRequest, GroupQuery, RedriveRequest, RequeueRequest
from celery_jobtrack.model.state import CallbackKind, JobState, Outcome, Reason
from celery_jobtrack.testing import steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celery_jobtrack.strategies.sql import SqlStore
    from celery_jobtrack.testing import Clock

TICK = 1000.0
"""Seconds between two operations: times that differ by less are the same, as both stores' clocks move."""
CATCH, FINALLY, PROGRESS = (
    Callback(
        kind=kind, number=0, task="shop.tell", signature="s", every=3 if kind is CallbackKind.PROGRESS else 0
    )
    for kind in (CallbackKind.CATCH, CallbackKind.FINALLY, CallbackKind.PROGRESS)
)
GROUPS: dict[str, dict[str, Any]] = {
    "standing": {},
    "slow": {"settle_after": 3.5 * TICK, "time_to_check": 0.1},
    "batch": {"standing": False, "time_to_check": 7.25 * TICK},
    "told": {"standing": False, "callbacks": (CATCH, FINALLY)},
    "steps": {"callbacks": (PROGRESS, FINALLY)},
    "strict": {"standing": False, "cancels_on_failure": True},
}
TEXTS = [None, "", "(1, 'x')", "NUL \0 and \ud83d half", "Grüße 🎉", "x" * 3000]
MESSAGES = [None, b"m", b"\0\xff" * 3000]
TAGS = [(), (), ("a",), ("b", "a", "b"), ("Größe", "a b")]
ERRORS = [
    None,
    ErrorInfo(type="Boom", message="bad \0 byte", traceback="line\nline"),
    ErrorInfo(type="Boom", message=""),
]
OUTCOMES = [*[Outcome.SUCCESS] * 6, Outcome.FAILURE, Outcome.REVOKED, Outcome.SKIPPED, Outcome.REQUEUED]
SLOTS = ["", "report", "Report", "Größe "]
TIMED = {
    "unique": Kind.UNIQUE,
    "queue": Kind.QUEUE,
    "rate": Kind.RATE,
    "clock": Kind.CLOCK,
}
HALTED = HaltKind.QUEUE, "Häßlich"
"""What is halted now and then."""
KEYS = [*SLOTS, *TIMED, gate_of(*HALTED)]


class BothWays:
    """Makes every operation on both stores, and holds what they answer and keep against each other.

    Args:
        plain: Has statements for plain cases.
        general: Has none.
        clock: Of both.
        seed: Of the run.
        keyed: How many of the jobs claim keys.
        timed: How many of these claim keys whose lines time moves.
    """

    def __init__(
        self,
        plain: SqlStore,
        general: SqlStore,
        clock: Clock,
        seed: int,
        *,
        keyed: float = 0.3,
        timed: float = 0.0,
    ) -> None:
        assert plain._plain is not None
        assert general._plain is None
        self.stores = plain, general
        self.clock = clock
        self.random = Random(seed)
        self.begin = plain.now()
        self.keyed, self.timed = keyed, timed
        self.keys = KEYS if timed else SLOTS
        self.written = self.written_keyed = self.tallied = 0
        self.jobs: list[tuple[str, dict[str, Any]]] = []
        self.tokens: list[tuple[str, str, dict[str, Any]]] = []
        plain.claimant = general.claimant = "claimant"
        for group_id, options in GROUPS.items():
            for store in self.stores:
                steps.group(store, group_id, **options)
        self._make_locks()
        self._count_plain_cases(plain)

    def _make_locks(self) -> None:
        """Fences go by the clock of the server; both stores begin with the same."""
        for store in self.stores:
            for key in self.keys:
                about = {"claims": (Claim(key=key),)}
                steps.enqueue(store, f"first-{key}", **about)
                assert steps.start(store, f"first-{key}", f"first-{key}", **about).admitted
                assert steps.finish(store, f"first-{key}", f"first-{key}", **about).applied
            with store._engine.begin() as connection:
                connection.execute(update(store._schema.locks).values(fence=0))

    def _count_plain_cases(self, store: SqlStore) -> None:
        written, plain_statements = store._written, store._plain[0]

        def counted(*arguments: Any) -> Sequence[Any] | None:
            row = written(*arguments)
            self.written += row is not None
            self.written_keyed += row is not None and "key" in arguments[1]
            self.tallied += arguments[0] is plain_statements.open_tallies and row is not None
            return row

        store._written = counted

    def run(self, operations: int) -> None:
        choices: list[tuple[Callable[[], None], int]] = [
            (self.enqueue, 5),
            (self.enqueue_many, 2),
            (self.start, 8),
            (self.finish, 8),
            (self.retry, 2),
            (self.progress, 2),
            (self.settle, 1),
            (self.cancel, 1),
            (self.requeue, 1),
            (self.redrive, 2),
            (self.change_group, 3),
            (self.unpark, 3),
            (self.end_superseded, 1),
            (self.change_lock, 1),
            (self.call_due, 3 if self.timed else 0),
            (self.halt, 3 if self.timed else 0),
            (self.look, 2),
        ]
        operate, weights = zip(*choices, strict=True)
        for _ in range(operations):
            self.random.choices(operate, weights)[0]()
            self.clock.advance(TICK)
        for store in self.stores:
            for group_id in GROUPS:
                with store.transaction() as rows:
                    rows.group(group_id, lock=True)  # what is tallied goes into its row
        plain, general = (self.tables(store) for store in self.stores)
        assert plain["tallies"] == []
        for name, rows in plain.items():
            assert rows == general[name], _difference(rows, general[name])

    def both(self, operation: Callable[[SqlStore], Any]) -> None:
        plain, general = (self.answer(store, operation) for store in self.stores)
        assert plain == general, f"{plain} is not {general}"[:3000]

    def answer(self, store: SqlStore, operation: Callable[[SqlStore], Any]) -> Any:
        try:
            return self.comparable(operation(store))
        except JobTrackError as error:
            return type(error), str(error).replace(repr(store._schema.namespace), "theirs")

    def comparable(self, value: Any) -> Any:
        """What must be the same on both: times by the tick, events without their ids."""
        if isinstance(value, datetime):
            return round((value - self.begin).total_seconds() / TICK, 1)
        if is_dataclass(value):
            names = {field.name for field in fields(value)} - (
                {"id", "seq"} if hasattr(value, "kind") else set()
            )
            return {name: self.comparable(getattr(value, name)) for name in names}
        if isinstance(value, EnqueueResult | StartResult | Settled):
            # Their slots may hold what only gives a job.
            names = {name.removeprefix("_") for name in type(value).__slots__}
            return {name: self.comparable(getattr(value, name)) for name in names}
        if isinstance(value, tuple | list):
            return [self.comparable(item) for item in value]
        return value

    def tables(self, store: SqlStore) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table in the order of writing; a number that was given in vain leaves no gap."""
        found: dict[str, list[dict[str, Any]]] = {}
        prefix = len(store._schema.prefix)
        with store._reader.connect() as connection:
            seqs = connection.scalars(
                select(store._schema.jobs.c.seq).order_by(store._schema.jobs.c.seq)
            ).all()
            for table in store._schema.metadata.sorted_tables:
                rows = connection.execute(table.select().order_by(*table.primary_key)).mappings()
                kept = [{name: self.comparable(value) for name, value in row.items()} for row in rows]
                for number, row in enumerate(kept):
                    if "seq" in row:
                        row["seq"] = seqs.index(row["seq"]) if table is store._schema.tags else number
                    if table is store._schema.events:
                        del row["id"]
                found[table.name[prefix:]] = kept
        found["pauses"] = _without_slots(found["pauses"])
        return found

    # -- operations ------------------------------------------------------------------------------

    def enqueue(self) -> None:
        pick = self.random
        group_id = pick.choice([None, None, *GROUPS, *GROUPS, "unknown"])
        job_id, about = self._new_job(group_id if pick.random() < 0.9 else "standing")
        message = pick.choice(MESSAGES)
        self.both(lambda store: steps.enqueue(store, job_id, message=message, **about))

    def enqueue_many(self) -> None:
        pick = self.random
        group_id = pick.choice([None, *GROUPS])
        jobs = [self._new_job(group_id) for _ in range(pick.randrange(1, 5))]
        requests = [
            EnqueueRequest(
                origin=steps.origin(job_id, **about),
                message=pick.choice(MESSAGES),
                published=pick.random() < 0.8,
            )
            for job_id, about in jobs
        ]
        # One of another group has its chunk refused whole, as the contract's own tests see.
        chunk = [request for request in requests if self._may_join(request.origin.job_id, group_id)]
        self.both(lambda store: store.enqueue_many(chunk))

    def _may_join(self, job_id: str, group_id: str | None) -> bool:
        known = self.stores[0].job(job_id)
        return known is None or known.group_id == group_id

    def _new_job(self, group_id: str | None) -> tuple[str, dict[str, Any]]:
        """What its publisher says of a job; its id may be known."""
        pick = self.random
        now = self.begin + timedelta(seconds=self.clock.offset())
        job_id = (
            f"job-{pick.randrange(len(self.jobs) + 3)}" if pick.random() < 0.2 else f"job-{len(self.jobs)}"
        )
        about = {
            "group_id": group_id,
            "queue": pick.choice([None, "celery", "Häßlich"]),
            "priority": pick.choice([None, 3, -1]),
            "args": pick.choice(TEXTS),
            "kwargs": pick.choice(TEXTS),
            "tags": pick.choice(TAGS),
            "max_retries": pick.choice([None, 0, 5]),
            "root_id": pick.choice([None, "root"]),
            "parent_id": pick.choice([None, "parent"]),
            "eta": pick.choice([None, None, now + timedelta(seconds=2.5 * TICK), now - timedelta(1)]),
            "expires_at": pick.choice([None, None, None, now + timedelta(seconds=5.5 * TICK)]),
        }
        if pick.random() < self.keyed:
            about["claims"] = self._claims()
        self.jobs.append((job_id, about))
        return job_id, about

    def _claims(self) -> tuple[Claim, ...]:
        pick = self.random
        claims = [self._claim(key) for key in pick.sample(SLOTS, pick.choice([1, 1, 1, 1, 2]))]
        if not self.timed:
            return tuple(claims)
        if pick.random() < self.timed:
            key = pick.choice(list(TIMED))
            return *claims[: pick.choice([0, 1])], self._timed_claim(key, TIMED[key])
        # Sometimes of a key of which the code says another kind than before.
        kind = pick.choice([*[Kind.SLOTS] * 8, Kind.UNIQUE, Kind.RATE])
        return (self._timed_claim(pick.choice(SLOTS), kind),) if pick.random() < 0.3 else tuple(claims)

    def _claim(self, key: str) -> Claim:
        pick = self.random
        return Claim(
            key=key,
            limit=pick.choice([1, 1, 2, 3]),
            on_conflict=pick.choice(list(OnConflict)),
            across_retries=pick.random() < 0.6,
        )

    def _timed_claim(self, key: str, kind: Kind) -> Claim:
        pick = self.random
        at = self.begin + timedelta(seconds=self.clock.offset() + pick.choice([-2.5, 2.5, 8.5]) * TICK)
        return replace(
            self._claim(key),
            kind=kind,
            until_start=kind in {Kind.QUEUE, Kind.CLOCK} or pick.random() < 0.2,
            lease=3.5 * TICK if pick.random() < 0.5 else None,
            interval=2.3 * TICK if kind is Kind.RATE else None,
            at=at if kind in {Kind.QUEUE, Kind.CLOCK} else None,
        )

    def start(self) -> None:
        if self.tokens and self.random.random() < 0.1:
            token, job_id, about = self.random.choice(self.tokens)
        else:
            job_id, about = self._job()
            token = f"token-{len(self.tokens)}"
            about = {**about, "retries": self.random.choice([0, 0, 0, 1, 2])}
            self.tokens.append((token, job_id, about))
        worker = self.random.choice([steps.WORKER, steps.OTHER_WORKER])
        self.both(lambda store: steps.start(store, job_id, token, worker=worker, **about))

    def finish(self) -> None:
        token, job_id, about = self._token()
        outcome, error = self.random.choice(OUTCOMES), self.random.choice(ERRORS)
        self.both(lambda store: steps.finish(store, job_id, token, outcome, error=error, **about))

    def retry(self) -> None:
        token, job_id, about = self._token()
        retries = about.get("retries", 0) + 1
        more = {name: value for name, value in about.items() if name != "retries"}
        self.both(lambda store: steps.retry(store, job_id, token, retries, **more))

    def progress(self) -> None:
        token, job_id, _ = self._token()
        progress = Progress(
            current=self.random.choice([0, 0.1, 7]), total=self.random.choice([None, 10]), text="50 \0 %"
        )
        self.both(lambda store: store.record_progress(job_id, token, progress))

    def settle(self) -> None:
        token, job_id, about = self._token()
        guards = self.random.choice([{}, {"token": token}])
        self.both(
            lambda store: steps.settle(
                store, job_id, JobState.FAILURE, Reason.WORKER_LOST, guards=guards, **about
            )
        )

    def cancel(self) -> None:
        job_id, _ = self._job()
        self.both(lambda store: store.request_cancel(job_id))

    def requeue(self) -> None:
        token, job_id, _ = self._token()
        request = RequeueRequest(job_id=job_id, token=token, error=ErrorInfo(type="Lost", message=""))
        self.both(lambda store: store.requeue_lost(request))

    def redrive(self) -> None:
        job_id, _ = self._job()
        request = RedriveRequest(job_id=job_id, message=self.random.choice(MESSAGES))
        self.both(lambda store: store.redrive(request))

    def unpark(self) -> None:
        called = self.stores[0].called_jobs(10)
        self.both(lambda store: store.called_jobs(10))
        for job_id in called:
            self.both(lambda store, job_id=job_id: store.unpark(job_id))

    def end_superseded(self) -> None:
        superseded = self.stores[0].superseded_jobs(10)
        self.both(lambda store: store.superseded_jobs(10))
        for job_id in superseded:
            self.both(
                lambda store, job_id=job_id: steps.settle(store, job_id, JobState.SKIPPED, Reason.OVERLAP)
            )

    def change_lock(self) -> None:
        key = self.random.choice(self.keys)
        self.both(lambda store: store.release_lock(key))

    def call_due(self) -> None:
        now = self.begin + timedelta(seconds=self.clock.offset() + TICK / 2)
        due = [key for key, _ in self.stores[0].due_keys(now, 10)]
        self.both(lambda store: store.due_keys(now, 10))
        for key in due or [self.random.choice(self.keys)]:
            self.both(lambda store, key=key: store.call_due(key))

    def halt(self) -> None:
        if self.random.random() < 0.4:
            self.both(lambda store: store.halt(*HALTED))
        else:
            self.both(lambda store: store.lift(*HALTED))

    def look(self) -> None:
        key = self.random.choice(self.keys)
        self.both(lambda store: store.lock(key))
        self.both(lambda store: store.places(key, 100))
        self.both(lambda store: store.locks(2))
        group_id = self.random.choice(list(GROUPS))
        self.both(lambda store: store.group(group_id))
        # Its guess at the end goes by the moment of asking.
        unsure = dict.fromkeys(("eta", "eta_low", "eta_high"))
        self.both(lambda store: replace(store.group_status(group_id), **unsure))
        self.both(lambda store: store.groups(GroupQuery()).items)

    def change_group(self) -> None:
        group_id = self.random.choice(list(GROUPS))
        change = self.random.choices(
            [
                lambda store: store.begin_filling(group_id, "f", 3.5 * TICK),
                lambda store: store.end_filling(group_id, "f"),
                lambda store: store.recompute_group(group_id),
                lambda store: store.seal_group(group_id),
                lambda store: store.cancel_group(group_id),
                lambda store: store.reopen_group(group_id, "f", 3.5 * TICK, keep_totals=True),
                lambda store: store.reopen_group(group_id, "f", 3.5 * TICK, keep_totals=False),
                lambda store: store.close_group(group_id),
            ],
            [8, 8, 16, 3, 1, 3, 1, 2],
        )[0]
        self.both(change)

    def _job(self) -> tuple[str, dict[str, Any]]:
        if not self.jobs or self.random.random() < 0.05:
            self.jobs.append((f"unseen-{len(self.jobs)}", {"group_id": self.random.choice([None, *GROUPS])}))
        return self.random.choice(self.jobs[-12:])

    def _token(self) -> tuple[str, str, dict[str, Any]]:
        if not self.tokens or self.random.random() < 0.05:
            job_id, about = self._job()
            self.tokens.append((f"token-{len(self.tokens)}", job_id, {**about, "retries": 0}))
        return self.random.choice(self.tokens[-8:])


def _without_slots(pauses: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The sums over all slots: which connection counts in which is chance."""
    sums: dict[tuple[Any, Any], dict[str, Any]] = {}
    for row in pauses:
        key = row["group_id"], row["generation"]
        into = sums.setdefault(key, {"group_id": key[0], "generation": key[1], "retrying": 0, "waiting": 0})
        for counter in ("retrying", "waiting"):
            into[counter] += row[counter]
    return list(sums.values())


def _difference(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> str:
    found = [f"{len(rows)} and {len(others)} rows"]
    for row, other in zip(rows, others, strict=False):
        found += [f"{row}: {n} is not {other[n]!r}"[-500:] for n in row if row[n] != other[n]]
    return "\n".join(found[:20])
