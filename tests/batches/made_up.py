"""Made-up accounts of a run, put together line by line."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

from celery_jobtrack.model import callback as records
from celery_jobtrack.model.event import EventCounts
from celery_jobtrack.model.group import GROUP_TASK, GroupRecord
from celery_jobtrack.model.job import Attempt, JobRecord
from celery_jobtrack.model.state import CallbackKind, GroupState, JobState, Outcome, Reason
from tests.batches.chapters import Case
from tests.batches.course import Snapshot
from tests.batches.kills import Killed
from tests.batches.plan import Batch, Callback, Kind, Member, Plan
from tests.batches.verdict import judge
from tests.crash.accounts import count
from tests.crash.books import Books

HIT, UNHIT = 100, 200
KINDS = (CallbackKind.BEFORE, CallbackKind.THEN, CallbackKind.CATCH, CallbackKind.FINALLY)


def at(seconds):
    return datetime.fromtimestamp(1_800_000_000 + seconds, timezone.utc)


def moment(seconds):
    return at(seconds).timestamp()


class Book:
    """Puts a case together: a batch ``b`` of quick members, started at 1 s and completed at 10 s."""

    def __init__(self, *members, allow_failures=True, every=0, **about):
        self.callbacks = [Callback(kind=kind) for kind in KINDS]
        if every:
            self.callbacks.append(Callback(kind=CallbackKind.PROGRESS, every=every))
        self.batch = Batch(
            name="b",
            entries=tuple(members),
            callbacks=tuple(self.callbacks),
            allow_failures=allow_failures,
            **about,
        )
        self.jobs, self.attempts, self.members = {}, {}, {}
        self.groups, self.bodies, self.listeners, self.snapshots = [], [], [], []
        self.acts = self.call("dispatch", 0, 0.5, names=[member.name for member in members])
        self.killed = Killed()
        self.events = EventCounts()

    def call(self, act, began, ended, error=None, target="b", **about):
        facts = {"act": act, "target": target, "call": f"{act} {target} {began}", **about}
        begin = {**facts, "phase": "begin", "at": moment(began)}
        return [begin, {**facts, "phase": "end", "at": moment(ended), "error": error, "text": ""}]

    def member(
        self, name, state=JobState.SUCCESS, reason=None, ended=5, run=1, group="g", pid=UNHIT, **about
    ):
        """A member that ran for a second, unless it was revoked."""
        job = JobRecord(
            id=name,
            task="batches.quick",
            args=f"('{name}',)",
            state=state,
            reason=reason,
            group_id=group,
            generation=1,
            run=run,
            finished_at=at(ended),
            **about,
        )
        self.jobs[name] = job
        self.members.setdefault(group, {})[name] = job
        if state is not JobState.REVOKED:
            self.ran(name, name, ended, reason=reason, run=run, pid=pid)
        return self

    def ran(self, job_id, name, ended, reason=None, run=1, pid=UNHIT, **about):
        facts = {"job": job_id, "name": name, "run": run, "retries": 0, **about}
        self.bodies.append({**facts, "phase": "begin", "at": moment(ended) - 1})
        if reason is not Reason.WORKER_LOST:
            self.bodies.append({**facts, "phase": "end", "how": "end", "at": moment(ended)})
        tries = self.attempts.setdefault(job_id, [])
        tries.append(
            Attempt(
                token=f"{job_id}-{len(tries)}",
                job_id=job_id,
                number=len(tries) + 1,
                worker_id="w",
                worker="w1",
                pid=pid,
                run=run,
                started_at=at(ended - 1),
                outcome=Outcome.SUCCESS,
            )
        )

    def called(self, *kinds, generation=1, ended=13, step=0, every=0, group="g"):
        """Callbacks of these kinds ran."""
        for kind in kinds:
            known = records.Callback(kind=kind, number=0, task="", signature="", every=every)
            job_id = known.job_id("default", group, generation, step)
            self.jobs[job_id] = JobRecord(
                id=job_id, task="batches.callback", state=JobState.SUCCESS, finished_at=at(ended)
            )
            self.ran(job_id, f"{kind.value} 0", ended, group=group)
        return self

    def group(self, state=GroupState.COMPLETED, generation=1, completed=10, closed=True, **about):
        """The group with the members that it has so far, and its events."""
        group_id = about.pop("id", "g")
        needs = {"callbacks": (records.Callback(kind=KINDS[0], number=0, task="", signature=""),)}
        record = GroupRecord(
            **{
                "id": group_id,
                "title": "b",
                "standing": False,
                "sealed": True,
                "state": state,
                "generation": generation,
                "created_at": at(0),
                "started_at": at(1),
                "completed_at": at(completed) if completed else None,
                "closed_at": at(completed + 5) if completed and closed else None,
                "totals": count(self.members.get(group_id, {}).values()),
                **needs,
                **about,
            }
        )
        self.groups = [each for each in self.groups if each.id != group_id] + [record]
        for kind in ("started", "completed"):
            for phase in ("begin", "end"):
                self.listeners.append(
                    {
                        "group": group_id,
                        "kind": kind,
                        "phase": phase,
                        "event": f"{kind} {group_id} {generation}",
                        "generation": generation,
                    }
                )
        return self

    def seen(self, seconds):
        """Somebody took a snapshot of all."""
        self.snapshots.append(
            Snapshot(
                at=moment(seconds),
                groups={group.id: group for group in self.groups},
                members={group.id: tuple(self.members.get(group.id, {}).values()) for group in self.groups},
            )
        )
        return self

    def kill(self, pid, seconds):
        self.killed.pids[pid] = moment(seconds)
        return self

    def child(self, *outcome, ended=8, allowed=True):
        """A batch within, of one member that ended so, and that is a member of ``b`` itself."""
        inner = Batch(name="b.b1", entries=(Member(name="b.b1.m1", kind=Kind.QUICK),))
        if outcome:
            broken = Member(name="b.b1.m1", kind=Kind.BROKEN)
            inner = replace(inner, entries=(broken,), allow_failures=allowed)
        self.batch = replace(self.batch, entries=(*self.batch.entries, inner))
        self.member("b.b1.m1", *(outcome or (JobState.SUCCESS,)), group="h", ended=ended - 1)
        failed = "b.b1.m1" if outcome else None
        return self.group(
            id="h", title="b.b1", parent_id="g", completed=ended - 1, first_failure=failed, callbacks=()
        )

    def counted(self, *outcome, ended=8):
        """The member of ``b`` that stands for the batch within."""
        job = JobRecord(
            id="h",
            task=GROUP_TASK,
            args="'b.b1'",
            state=outcome[0],
            reason=outcome[1] if outcome[1:] else None,
            group_id="g",
            generation=1,
            finished_at=at(ended),
        )
        self.jobs["h"] = job
        self.members.setdefault("g", {})["h"] = job
        return self

    def case(self):
        plan = Plan(seed=1, number=1, store="redis", broker="redis", batches=(self.batch,), kills=())
        books = Books(
            jobs=self.jobs,
            attempts=self.attempts,
            groups=self.groups,
            members={group.id: tuple(self.members.get(group.id, {}).values()) for group in self.groups},
            events=self.events,
            read_at=moment(60),
        )
        return Case(
            plan=plan,
            books=books,
            snapshots=self.snapshots,
            killed=self.killed,
            bodies=self.bodies,
            listeners=self.listeners,
            acts=self.acts,
        )

    def found(self):
        return {problem.kind for problem in judge(self.case())}
