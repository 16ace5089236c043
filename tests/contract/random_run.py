"""What one random run is made of: a store, the model beside it, the names in use, the events taken."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from celery_jobtrack.errors import GroupCancelled, GroupCompleted
from celery_jobtrack.model.state import CallbackKind
from celery_jobtrack.strategies.contract import EVENT_CLAIM
from celery_jobtrack.testing import Clock, steps
from tests.contract.model import Event, Group, Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from celery_jobtrack.model.callback import Callback
    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.model.state import EventKind
    from tests.contract.backends import Backend

# Times are multiples of 100 s apart, limits lie between them: no real delay decides a comparison.
TICK = 100.0
LIMITS = st.sampled_from([50.0, 150.0, 250.0])
GROUPS = {
    "standing": Group(catches=True, every=2),
    "slow": Group(settle_after=150.0),
    "batch": Group(standing=False, cancels=True),
    "batch-2": Group(standing=False, catches=True, every=3),
}
GROUP_IDS = st.sampled_from(sorted(GROUPS))
# To which group a job belongs goes by its number, and what it is limited to by another remainder.
MEMBERSHIPS = ["standing", "batch", "standing", "slow", "standing", "batch-2", None]
EXPIRIES = [None, None, 150.0, None, 350.0]
JOBS = 21
PICKS = st.integers(0, 11)


class RandomRun(RuleBasedStateMachine):
    """The rules are added by ``JobRules``, ``GroupRules`` and ``EventRules``."""

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self.clock = Clock()
        self._stack = ExitStack()
        self.store = self._stack.enter_context(backend.fresh(self.clock))
        self.begin = self.store.now()
        self.model = Model()
        self.origins: dict[str, dict[str, Any]] = {}
        self.expires: dict[str, float | None] = {}
        self.tokens_of: dict[str, tuple[str, int, int]] = {}
        """The job, its retries and its run, as the message says of each attempt."""
        self.claims: list[EventRecord] = []
        self.claimed_until: dict[str, float] = {}
        self.identities: dict[str, tuple[str, int, EventKind, int]] = {}
        self.settled: dict[str, list[Event]] = {group_id: [] for group_id in GROUPS}
        for group_id, group in GROUPS.items():
            self.model.groups[group_id] = replace(
                group, members=set(), ended={}, holds={}, joined=set(), events=[]
            )
            steps.group(
                self.store,
                group_id,
                standing=group.standing,
                settle_after=group.settle_after,
                cancels_on_failure=group.cancels,
                callbacks=_callbacks(group),
            )

    def _job(self, pick: int) -> str:
        """A job that something happened to lately, or (odd picks) a new name and what its messages say."""
        number = len(self.origins)
        if number == 0 or (pick % 2 and number < JOBS):
            limit = EXPIRIES[number % len(EXPIRIES)]
            expires = None if limit is None else self.model.now + limit
            expires_at = None if expires is None else self.begin + timedelta(seconds=expires)
            self.origins[f"job-{number}"] = {
                "group_id": MEMBERSHIPS[number % len(MEMBERSHIPS)],
                "expires_at": expires_at,
            }
            self.expires[f"job-{number}"] = expires
            return f"job-{number}"
        return f"job-{(number - 1 - pick // 2) % number}"

    def _new_token(self, job_id: str, *, behind: int) -> str:
        """Of an attempt at the job's last retry, or at one ``behind``, which may be of the run before."""
        known = self.model.jobs.get(job_id)
        run, retries = (known.run, known.retries) if known else (1, 0)
        if retries >= behind:
            retries -= behind
        else:
            run = max(1, run - behind)
        token = f"token-{len(self.tokens_of)}"
        self.tokens_of[token] = (job_id, retries, run)
        return token

    def _token(self, pick: int) -> str:
        """The token of an attempt that is open, or else one of the last."""
        tokens = list(self.tokens_of)
        opened = [job.open for job in self.model.jobs.values() if job.open]
        return [*opened, *reversed(tokens)][pick % min(len(opened) + len(tokens), 12)]

    def _take(self, events: Iterable[EventRecord]) -> None:
        """Events come claimed: nobody else has them, and of each group only the earliest is out."""
        for event in events:
            assert self.claimed_until.get(event.id, 0.0) <= self.model.now, "it was claimed twice"
            self.claimed_until[event.id] = self.model.now + EVENT_CLAIM
            earliest = self.model.groups[event.group_id].events[len(self.settled[event.group_id])]
            assert _event(event) == earliest
            self.claims.append(event)

    def _settle_event(self, event: EventRecord) -> None:
        identity = (event.group_id, event.generation, event.kind, event.step)
        self.identities.setdefault(event.id, identity)
        done = self.settled[event.group_id]
        if _event(event) not in done:
            done.append(_event(event))


@contextmanager
def refused(group: Group) -> Iterator[None]:
    """Within, the store must say that this group takes no members, and why."""
    try:
        yield
    except GroupCancelled:
        assert group.cancelled
    except GroupCompleted:
        assert group.over
        assert not group.cancelled
    else:
        raise AssertionError("a closed group took a member")


def _event(event: EventRecord) -> Event:
    return event.generation, event.kind, event.step, event.outcome or event.job_id


def _callbacks(group: Group) -> tuple[Callback, ...]:
    progress = (steps.callback(CallbackKind.PROGRESS, every=group.every),) if group.every else ()
    return (*progress, steps.callback(CallbackKind.CATCH)) if group.catches else progress
