"""What one random run is made of: a store, the model beside it, the names in use, the events taken."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from celery_jobtrack.strategies.contract import EVENT_CLAIM
from celery_jobtrack.testing import Clock, steps
from tests.contract.model import Group, Model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.model.state import EventKind
    from tests.contract.backends import Backend

# Times are multiples of 100 s apart, limits lie between them: no real delay decides a comparison.
TICK = 100.0
LIMITS = st.sampled_from([50.0, 150.0, 250.0])
GROUPS = {
    "standing": Group(),
    "slow": Group(settle_after=150.0),
    "batch": Group(standing=False),
    "batch-2": Group(standing=False),
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
        self.tokens_of: dict[str, tuple[str, int]] = {}
        self.claims: list[EventRecord] = []
        self.claimed_until: dict[str, float] = {}
        self.identities: dict[str, tuple[str, int, EventKind]] = {}
        self.settled: dict[str, list[tuple[int, EventKind]]] = {group_id: [] for group_id in GROUPS}
        for group_id, group in GROUPS.items():
            self.model.groups[group_id] = Group(standing=group.standing, settle_after=group.settle_after)
            steps.group(self.store, group_id, standing=group.standing, settle_after=group.settle_after)

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
        """Of an attempt at the job's last retry, or at one ``behind``."""
        known = self.model.jobs.get(job_id)
        token = f"token-{len(self.tokens_of)}"
        self.tokens_of[token] = (job_id, max(0, (known.retries if known else 0) - behind))
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
            assert (event.generation, event.kind) == earliest
            self.claims.append(event)

    def _settle_event(self, event: EventRecord) -> None:
        identity = (event.group_id, event.generation, event.kind)
        self.identities.setdefault(event.id, identity)
        done = self.settled[event.group_id]
        if (event.generation, event.kind) not in done:
            done.append((event.generation, event.kind))
