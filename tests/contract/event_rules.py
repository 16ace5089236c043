"""Random deliveries: claimed, acknowledged, refused, given up, or lost in a crash."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.contract.random_run import LIMITS, RandomRun


class EventRules(RandomRun):
    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        self._take(self.store.claim_events("courier", limit=limit))

    @rule()
    def crash_while_delivering(self) -> None:
        self.claims.clear()

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        if not self.claims:
            return
        event = self.claims.pop(data.draw(st.integers(0, len(self.claims) - 1)))
        self._settle_event(event)
        self._take(self.store.acknowledge_event(event.id, "courier"))

    @rule(data=st.data(), seconds=st.none() | LIMITS)
    def fail_to_deliver(self, data: st.DataObject, seconds: float | None) -> None:
        if not self.claims:
            return
        event = self.claims.pop(data.draw(st.integers(0, len(self.claims) - 1)))
        if seconds is None:
            self._settle_event(event)
        else:
            self.claimed_until[event.id] = self.model.now + seconds
        self.store.postpone_event(event.id, "refused", seconds=seconds)
