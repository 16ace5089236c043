"""The judge of the batches is no yes-man: each thing that may go wrong is found, and nothing else."""

from __future__ import annotations

import pytest

from celery_jobtrack.model.event import EventCounts
from celery_jobtrack.model.state import CallbackKind, GroupState, JobState, Reason
from tests.batches.drawing import draw
from tests.batches.made_up import HIT, KINDS, UNHIT, Book, moment
from tests.batches.plan import Kind, Member
from tests.batches.verdict import judge
from tests.crash.accounts import count


def quick(number, kind=Kind.QUICK, **about):
    return Member(name=f"b.m{number}", kind=kind, **about)


BEFORE, THEN, CATCH, FINALLY = KINDS
FAILED = (JobState.FAILURE, Reason.ERROR)
CANCELLED = (JobState.REVOKED, Reason.GROUP_CANCELLED)


def succeeded(**about):
    """Two members that succeeded, without any callback yet."""
    return Book(quick(1), quick(2), **about).member("b.m1").member("b.m2").group()


def failed(ended=5, **about):
    """One member that succeeded and one that failed, without any callback yet."""
    book = Book(quick(1), quick(2, Kind.BROKEN), **about).member("b.m1").member("b.m2", *FAILED, ended=ended)
    return book.group(first_failure="b.m2")


def cancelled(began, ended, failed_at=5, **about):
    """The same, and somebody cancelled it."""
    book = failed(failed_at)
    book.acts += book.call("cancel", began, ended)
    return book.group(**{"state": GroupState.CANCELLED, "first_failure": None, **about})


def mended(*kinds):
    """A batch that failed, was asked to retry, and succeeded in its second generation."""
    book = Book(quick(1), quick(2, Kind.MENDED)).member("b.m1").member("b.m2", *FAILED)
    book.group(first_failure="b.m2").called(BEFORE, CATCH, FINALLY).seen(20)
    book.member("b.m2", run=2, ended=25).group(generation=2, completed=26)
    return book.called(BEFORE, *kinds, FINALLY, generation=2, ended=30)


LOST = (JobState.FAILURE, Reason.WORKER_LOST)


def lost(pid=HIT):
    """A member that was lost with its worker."""
    book = Book(quick(1)).member("b.m1", *LOST, pid=pid).group(first_failure="b.m1")
    return book.kill(HIT, 4.5).called(BEFORE, CATCH, FINALLY)


def lost_callback(pid=HIT):
    """A callback that was lost with its worker, and has begun once."""
    book = succeeded().called(BEFORE, FINALLY).called(THEN).kill(HIT, 12.5)
    job_id = next(line["job"] for line in book.bodies if line["name"] == "then 0")
    book.jobs[job_id] = book.jobs[job_id].evolve(state=LOST[0], reason=LOST[1])
    book.attempts[job_id] = [book.attempts[job_id][0].evolve(pid=pid)]
    return book


def orphaned(**about):
    """A batch of two of which one was sent when the dispatching process died."""
    book = Book(quick(1), quick(2)).member("b.m1")
    del book.acts[-1]
    return book.group(**about)


def told(*steps, ran=3):
    """A batch of which all three members ran again, and progress was told at these steps then."""
    book = Book(*(quick(number, Kind.MENDED) for number in (1, 2, 3)), every=1)
    for number in (1, 2, 3):
        book.member(f"b.m{number}", *FAILED)
    book.group(first_failure="b.m1").called(BEFORE, CATCH, FINALLY)
    for step in (1, 2, 3):
        book.called(CallbackKind.PROGRESS, step=step, every=1)
    book.seen(20)
    for number in range(1, ran + 1):
        book.member(f"b.m{number}", run=2, ended=25)
    book.group(generation=2, completed=26).called(BEFORE, THEN, FINALLY, generation=2, ended=30)
    for step in steps:
        book.called(CallbackKind.PROGRESS, step=step, every=1, generation=2, ended=30)
    return book


def abandoned(book):
    """Its iterable raised."""
    book.acts[-1].update(error="Abandoned")
    book.acts.append({"act": "abandon", "target": "b", "phase": "begin", "call": None, "at": moment(0.4)})
    return book


def ran_again(book, name):
    """The first line of that name is written twice."""
    book.bodies.append(next(line for line in book.bodies if line["name"] == name))
    return book


def without_ends(book, name):
    """Nobody wrote down that the body came to its end."""
    book.bodies = [line for line in book.bodies if line["name"] != name or line["phase"] == "begin"]
    return book


def cancelled_callback():
    """A callback that its batch's cancellation took along."""
    book = cancelled(1, 1.1, failed_at=6).called(BEFORE, FINALLY)
    job_id = next(line["job"] for line in book.bodies if line["name"] == "finally 0")
    book.jobs[job_id] = book.jobs[job_id].evolve(state=CANCELLED[0], reason=CANCELLED[1])
    return book


def with_event():
    """An event waits."""
    book = succeeded().called(BEFORE, THEN, FINALLY)
    book.events = EventCounts(pending=1)
    return book


def surprised():
    """A call raised what it should not."""
    book = succeeded().called(BEFORE, THEN, FINALLY)
    book.acts[-1].update(error="surprise", text="boom")
    return book


GOOD = {
    "a success": lambda: succeeded().called(BEFORE, THEN, FINALLY),
    "a failure": lambda: failed().called(BEFORE, CATCH, FINALLY),
    "an empty batch": lambda: Book().group().called(BEFORE, THEN, FINALLY),
    "progress": lambda: (
        succeeded(every=2).called(BEFORE, THEN, FINALLY).called(CallbackKind.PROGRESS, step=2, every=2)
    ),
    "a failure, cancelled afterwards": lambda: cancelled(8, 8.1, failed_at=5, first_failure="b.m2").called(
        BEFORE, CATCH, FINALLY
    ),
    "cancelled, and failed afterwards": lambda: cancelled(1, 1.1, failed_at=6).called(BEFORE, FINALLY),
    "cancelled as it failed, and it came first": lambda: cancelled(4.5, 5.5).called(BEFORE, FINALLY),
    "cancelled as it failed, and came too late": lambda: cancelled(4.5, 5.5, first_failure="b.m2").called(
        BEFORE, CATCH, FINALLY
    ),
    "the first failure cancels": lambda: (
        Book(quick(1), quick(2, Kind.BROKEN), allow_failures=False)
        .member("b.m1", *CANCELLED)
        .member("b.m2", *FAILED)
        .group(state=GroupState.CANCELLED, first_failure="b.m2")
        .called(BEFORE, CATCH, FINALLY)
    ),
    "mended by a retry": lambda: mended(THEN),
    "lost with its worker": lost,
    "a callback lost with its worker": lost_callback,
    "abandoned": lambda: (
        abandoned(Book(quick(1), quick(2), abandon_after=1).member("b.m1"))
        .group(incomplete=True)
        .called(BEFORE, CATCH, FINALLY)
    ),
    "whoever dispatched it died": lambda: orphaned(incomplete=True).called(BEFORE, CATCH, FINALLY),
    "all that ran again were queued before one ended": lambda: told(1, 2, 3),
    "each that ran again ended before the next was queued": lambda: told(3),
    "a late member that ran again": lambda: ran_again(
        Book(quick(1, Kind.LATE)).member("b.m1").group().called(BEFORE, THEN, FINALLY), "b.m1"
    ),
    "a child that succeeded": lambda: (
        Book().child().counted(JobState.SUCCESS).group().called(BEFORE, THEN, FINALLY)
    ),
    "a child that failed": lambda: (
        Book().child(*FAILED).counted(*FAILED).group(first_failure="h").called(BEFORE, CATCH, FINALLY)
    ),
}

BAD = {
    "no then": ("missing callback", lambda: succeeded().called(BEFORE, FINALLY)),
    "no finally": ("missing callback", lambda: succeeded().called(BEFORE, THEN)),
    "no before": ("missing callback", lambda: succeeded().called(THEN, FINALLY)),
    "no catch": ("missing callback", lambda: failed().called(BEFORE, FINALLY)),
    "no progress": ("missing callback", lambda: succeeded(every=2).called(BEFORE, THEN, FINALLY)),
    "catch of a success": ("unexpected callback", lambda: succeeded().called(BEFORE, THEN, CATCH, FINALLY)),
    "then of a failure": ("unexpected callback", lambda: failed().called(BEFORE, THEN, CATCH, FINALLY)),
    "catch of a cancelled batch": (
        "unexpected callback",
        lambda: cancelled(1, 1.1, failed_at=6).called(BEFORE, CATCH, FINALLY),
    ),
    "catch as it was cancelled first": (
        "unexpected callback",
        lambda: cancelled(4.5, 5.5).called(BEFORE, CATCH, FINALLY),
    ),
    "no then after a retry": ("missing callback", mended),
    "then a second time": (
        "unexpected callback",
        lambda: succeeded().called(BEFORE, THEN, FINALLY).called(THEN, generation=2),
    ),
    "not cancelled": (
        "wrong state",
        lambda: cancelled(1, 1.1, failed_at=6, state=GroupState.COMPLETED).called(BEFORE, FINALLY),
    ),
    "not cancelled by its failure": (
        "wrong state",
        lambda: failed(allow_failures=False).called(BEFORE, CATCH, FINALLY),
    ),
    "cancelled by nobody": (
        "wrong state",
        lambda: succeeded().group(state=GroupState.CANCELLED).called(BEFORE, FINALLY),
    ),
    "not closed": ("not ended", lambda: succeeded().group(closed=False).called(BEFORE, THEN, FINALLY)),
    "wrong counters": (
        "wrong counters",
        lambda: succeeded().group(totals=count(())).called(BEFORE, THEN, FINALLY),
    ),
    "nobody asked": (
        "unasked generation",
        lambda: succeeded().group(generation=2).called(BEFORE, THEN, FINALLY, generation=2),
    ),
    "a member that is missing": (
        "wrong members",
        lambda: Book(quick(1), quick(2)).member("b.m1").group().called(BEFORE, THEN, FINALLY),
    ),
    "a member that is unknown": (
        "unknown job",
        lambda: succeeded().member("b.m9").group().called(BEFORE, THEN, FINALLY),
    ),
    "revoked by nobody": (
        "wrong end",
        lambda: Book(quick(1)).member("b.m1", *CANCELLED).group().called(BEFORE, FINALLY),
    ),
    "lost and not killed": (
        "wrong end",
        lambda: (
            Book(quick(1))
            .member("b.m1", JobState.FAILURE, Reason.WORKER_LOST)
            .group(first_failure="b.m1")
            .called(BEFORE, CATCH, FINALLY)
        ),
    ),
    "lost with another worker": ("wrong end", lambda: lost(pid=UNHIT)),
    "a callback lost with another worker": ("wrong end", lambda: lost_callback(pid=UNHIT)),
    "a callback that is cancelled": ("wrong end", cancelled_callback),
    "a body that ran twice": (
        "ran twice",
        lambda: ran_again(succeeded().called(BEFORE, THEN, FINALLY), "b.m1"),
    ),
    "a callback that ran twice": (
        "ran twice",
        lambda: ran_again(succeeded().called(BEFORE, THEN, FINALLY), "then 0"),
    ),
    "a lost callback that ran twice": ("ran twice", lambda: ran_again(lost_callback(), "then 0")),
    "never ran": ("never ran", lambda: without_ends(succeeded().called(BEFORE, THEN, FINALLY), "b.m1")),
    "abandoned, and nobody was told": (
        "missing callback",
        lambda: (
            abandoned(Book(quick(1), quick(2), abandon_after=1).member("b.m1"))
            .group(incomplete=True)
            .called(BEFORE, FINALLY)
        ),
    ),
    "whoever dispatched it died, and nobody cared": (
        "wrong members",
        lambda: orphaned().called(BEFORE, THEN, FINALLY),
    ),
    "whoever dispatched it died, and nobody was told": (
        "missing callback",
        lambda: orphaned(incomplete=True).called(BEFORE, FINALLY),
    ),
    "no progress at the last step": ("missing callback", lambda: told(1, 2)),
    "progress that goes back": ("missing callback", lambda: told(1, 3)),
    "a child that is not counted": (
        "wrong child",
        lambda: Book().child().group().called(BEFORE, THEN, FINALLY),
    ),
    "a child that is counted wrongly": (
        "wrong child",
        lambda: Book().child(*FAILED).counted(JobState.SUCCESS).group().called(BEFORE, THEN, FINALLY),
    ),
    "an undelivered event": ("undelivered events", with_event),
    "a refusal that should not be": ("surprise", surprised),
    "called too early": ("wrong call", lambda: succeeded().called(BEFORE, THEN, FINALLY, ended=10)),
}


@pytest.mark.parametrize("name", GOOD)
def test_judge_finds_nothing_wrong_with(name):
    assert judge(GOOD[name]().case()) == []


@pytest.mark.parametrize("name", BAD)
def test_judge_finds(name):
    kind, book = BAD[name]
    assert book().found() == {kind}


def test_plan_is_drawn_the_same_again_and_otherwise_for_another_seed():
    about = {"number": 1, "store": "redis", "broker": "redis", "batches": 5}
    assert draw(seed=7, **about) == draw(seed=7, **about)
    assert draw(seed=7, **about).batches != draw(seed=8, **about).batches


def test_plan_names_every_member_and_batch_once():
    plan = draw(seed=7, number=1, store="redis", broker="redis", batches=60)
    named = [within.name for batch in plan.batches for within in batch.batches()]
    assert len(named) == len(plan.all_batches()) == len(set(named))
    within = [member.name for batch in plan.all_batches().values() for member in batch.members()]
    assert len(within) == len(set(within))


def test_plan_goes_three_batches_deep():
    plan = draw(seed=7, number=1, store="redis", broker="redis", batches=60)
    assert max(name.count(".") for name in plan.all_batches()) == 2
