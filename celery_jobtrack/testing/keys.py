"""What jobs of tests claim, and who stands at a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.lock import Claim, OnConflict, Standing
from celery_jobtrack.testing.steps import start

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store

KEY = "overlap:report"


def claim(on_conflict: OnConflict = OnConflict.WAIT, *, key: str = KEY, **more: Any) -> dict[str, Any]:
    """The claim of one key, as a field of an origin."""
    return {"claims": (Claim(key=key, on_conflict=on_conflict, **more),)}


WAIT = claim()
SKIP = claim(OnConflict.SKIP)
RAISE = claim(OnConflict.RAISE)
LATEST = claim(OnConflict.LATEST)


def standings(store: Store, key: str = KEY) -> dict[str, Standing]:
    """Who stands at a key, and how."""
    return {place.job_id: place.standing for place in store.places(key, 1000)}


def assert_free(store: Store, key: str = KEY) -> None:
    """Nobody stands at the key."""
    lock = store.lock(key)
    assert standings(store, key) == {}
    assert lock is None or lock.is_idle


def run_next(store: Store, called: tuple[str, ...], token: str, **more: Any) -> str:
    """Publish and start the one job that was called."""
    (job_id,) = called
    assert store.unpark(job_id).applied
    assert start(store, job_id, token, **more).admitted
    return job_id
