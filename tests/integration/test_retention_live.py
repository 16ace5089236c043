"""Real workers delete what has been kept for long enough."""

from __future__ import annotations

from tests.waiting import wait_until

BOUND = 40.0


def test_workers_delete_what_has_been_kept_for_long_enough(make_shop):
    shop = make_shop(jobtrack_retention={"success": 1, "group": 1})
    with shop.worker():
        group = shop.jobtrack.groups.create("short-lived")
        result = shop.task("add").apply_async((1, 2), job_group=group)
        failed = shop.task("error").delay()
        shop.await_completion(group)
        failed.wait_settled(BOUND)
    store = shop.jobtrack.store
    finished_at = store.group(group.id).completed_at
    wait_until(lambda: (store.now() - finished_at).total_seconds() > 1, BOUND, "time stands still")
    # A checker looks once a minute, so it is the next worker's that does it.
    with shop.worker():
        wait_until(lambda: store.group(group.id) is None, BOUND, "the group is still there")
    assert store.job(result.id) is None
    assert failed.job().is_final
