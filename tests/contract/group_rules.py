"""Random operations on groups, and time that passes."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from celery_jobtrack.errors import GroupCancelled, GroupCompleted
from tests.contract.random_run import GROUP_IDS, LIMITS, TICK, RandomRun

FILLERS = st.sampled_from(["filler-1", "filler-2"])


class GroupRules(RandomRun):
    @rule(group_id=GROUP_IDS)
    def mark_running(self, group_id: str) -> None:
        self.model.run(group_id)
        self._take(self.store.mark_running(group_id).events)

    @rule(group_id=st.sampled_from(["batch", "batch", "batch-2", "slow", "standing"]), sure=st.integers(0, 3))
    def cancel_group(self, group_id: str, sure: int) -> None:
        if sure:  # a cancelled group is dull: not too soon
            return
        group = self.model.groups[group_id]
        if not group.over:
            group.cancelled = True
            self.model.look(group_id)
        self._take(self.store.cancel_group(group_id).events)

    @rule(group_id=st.sampled_from(["batch", "batch", "batch-2", "standing"]), incomplete=st.booleans())
    def seal(self, group_id: str, incomplete: bool) -> None:
        self.model.seal(group_id, incomplete=incomplete)
        self._take(self.store.seal_group(group_id, incomplete=incomplete).events)

    @rule(group_id=GROUP_IDS, token=FILLERS, seconds=LIMITS)
    def begin_filling(self, group_id: str, token: str, seconds: float) -> None:
        group = self.model.groups[group_id]
        if group.closed:
            try:
                self.store.begin_filling(group_id, token, seconds)
            except (GroupCancelled, GroupCompleted):
                return
            raise AssertionError("a closed group is being filled")
        self.store.begin_filling(group_id, token, seconds)
        group.holds[token] = self.model.now + seconds

    @rule(group_id=GROUP_IDS, token=FILLERS, seconds=LIMITS, keep=st.booleans())
    def reopen(self, group_id: str, token: str, seconds: float, keep: bool) -> None:
        group = self.model.groups[group_id]
        if group.cancelled and not group.over:
            try:
                self.store.reopen_group(group_id, token, seconds, keep_totals=keep)
            except GroupCancelled:
                return
            raise AssertionError("a group that is being cancelled was reopened")
        if group.over:
            group.reopen(keep=keep, for_members=True)
        group.holds[token] = self.model.now + seconds
        assert self.store.reopen_group(group_id, token, seconds, keep_totals=keep).events == ()

    @rule(group_id=GROUP_IDS)
    def close(self, group_id: str) -> None:
        group = self.model.groups[group_id]
        group.done = group.done or group.over
        assert self.store.close_group(group_id).events == ()

    @rule(group_id=GROUP_IDS, token=FILLERS)
    def end_filling(self, group_id: str, token: str) -> None:
        self.model.groups[group_id].holds.pop(token, None)
        self.model.look(group_id)
        self._take(self.store.end_filling(group_id, token).events)

    @rule(group_id=GROUP_IDS)
    def recompute(self, group_id: str) -> None:
        changed = self.store.recompute_group(group_id)
        assert changed.repaired is None, "the counters drifted"
        self.model.look(group_id)
        self._take(changed.events)

    @rule(ticks=st.integers(1, 3))
    def let_time_pass(self, ticks: int) -> None:
        self.clock.advance(ticks * TICK)
        self.model.now += ticks * TICK
