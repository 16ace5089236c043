import uuid

import msgpack
import pytest

from celery_jobtrack.model.requests import GroupQuery, JobQuery
from celery_jobtrack.model.state import GroupState, JobState, Outcome, Reason
from celery_jobtrack.strategies.redis import groups, listings, upkeep
from celery_jobtrack.strategies.redis.fields import GROUP
from celery_jobtrack.testing import steps

ROOT = b"{jobtrack:default}"


def pages(list_page, query_of):
    """The ids of every page, until there is no next one."""
    found, cursor = [], None
    while True:
        page = list_page(query_of(cursor))
        found.append([item.id for item in page.items])
        cursor = page.cursor
        if cursor is None:
            return found
        assert len(found) < 2000, "the pages do not end"


def flat(found):
    return [one for page in found for one in page]


def test_nothing_is_left_when_everything_is_old(redis_store, redis_client, redis_clock):
    for number in range(3):
        steps.batch(redis_store, f"g{number}", key=f"k{number}")
    for number in range(300):
        steps.enqueue(
            redis_store, f"j{number}", group_id=f"g{number % 3}", tags=("red",), queue=f"q{number % 5}"
        )
        outcome = [Outcome.SUCCESS, Outcome.FAILURE, Outcome.REVOKED, Outcome.SKIPPED][number % 4]
        reason = {1: Reason.ERROR, 2: Reason.TERMINATED, 3: Reason.IGNORED}.get(number % 4)
        if number % 7 == 0:
            steps.start(redis_store, f"j{number}", f"r{number}")
            steps.retry(redis_store, f"j{number}", f"r{number}", 1, message=b"again")
        steps.finish(redis_store, f"j{number}", f"t{number}", outcome, reason=reason, retries=1)
    for number in range(3):
        redis_store.seal_group(f"g{number}")
    redis_store.register_worker(steps.WORKER, 45)
    redis_store.acquire_lease("checker", "me", 0.05)
    for event in steps.all_events(redis_store, redis_clock)[:1]:
        assert event.kind
    redis_clock.advance(10_000)
    now = redis_store.now()
    for state in (JobState.SUCCESS, JobState.FAILURE, JobState.REVOKED, JobState.SKIPPED):
        assert redis_store.prune_jobs(state, now, 1000) == 75
    assert redis_store.prune_groups(now, 10) == 3
    assert redis_store.prune_workers(now, 10) == 1
    redis_store.overdue_queues(now)
    left = set(redis_client.scan_iter())
    assert left <= {ROOT, ROOT + b":l:checker"}, left
    assert sum(redis_store.counts().values()) == 0
    assert sum(redis_store.group_counts().values()) == 0


def test_lease_removes_its_own_key(redis_store, redis_client):
    redis_store.acquire_lease("checker", "me", 30)
    assert 29_000 < redis_client.pttl(ROOT + b":l:checker") <= 30_001


def test_prune_goes_on_behind_what_must_stay(redis_store, redis_clock, monkeypatch):
    monkeypatch.setattr(upkeep, "LOOKED_AT", 10)
    monkeypatch.setattr(upkeep, "SCRIPTS", 1)
    steps.group(redis_store)
    steps.enqueue(redis_store, "holds it open", group_id="g")
    for number in range(300):
        steps.finish(redis_store, f"member{number}", f"t{number}", group_id="g")
    for number in range(20):
        steps.finish(redis_store, f"free{number}", f"f{number}")
    redis_clock.advance(10)
    removed = [redis_store.prune_jobs(JobState.SUCCESS, redis_store.now(), 100) for _ in range(8)]
    assert sum(removed) == 20
    assert redis_store.prune_jobs(JobState.SUCCESS, redis_store.now(), 100) == 0


@pytest.mark.parametrize("limit", [7, 128, 1000])
def test_members_are_listed_over_many_index_pages(redis_store, limit):
    steps.group(redis_store)
    for number in range(300):
        steps.enqueue(redis_store, f"m{number}", group_id="g", message=None)
        steps.enqueue(redis_store, f"o{number}", message=None)
    members = [f"m{number}" for number in reversed(range(300))]
    found = pages(redis_store.jobs, lambda cursor: JobQuery(group_id="g", limit=limit, cursor=cursor))
    assert flat(found) == members
    assert {len(page) for page in found[:-1]} <= {limit}
    queued = pages(
        redis_store.jobs, lambda cursor: JobQuery(state=JobState.ENQUEUED, limit=limit, cursor=cursor)
    )
    everything = pages(redis_store.jobs, lambda cursor: JobQuery(limit=limit, cursor=cursor))
    assert flat(queued) == flat(everything)
    assert len(flat(everything)) == 600


def test_members_are_listed_past_pages_that_were_pruned(redis_store, redis_clock):
    steps.group(redis_store)
    for number in range(600):
        steps.enqueue(redis_store, f"m{number}", group_id="g", message=None)
    for number in range(130, 520):
        steps.settle(redis_store, f"m{number}", JobState.REVOKED, Reason.CANCELLED)
    redis_store.cancel_group("g")
    for number in [*range(130), *range(520, 600)]:
        steps.settle(redis_store, f"m{number}", JobState.FAILURE, Reason.ERROR)
    steps.all_events(redis_store, redis_clock)
    redis_clock.advance(1)
    assert redis_store.prune_jobs(JobState.REVOKED, redis_store.now(), 1000) == 390
    expected = [f"m{number}" for number in [*reversed(range(520, 600)), *reversed(range(130))]]
    for group_id in ("g", None):
        found = pages(
            redis_store.jobs, lambda cursor, g=group_id: JobQuery(group_id=g, limit=50, cursor=cursor)
        )
        assert flat(found) == expected


def test_filter_without_an_index_looks_at_a_bounded_number(redis_store, monkeypatch):
    monkeypatch.setattr(listings, "LOOKED_AT", 20)
    monkeypatch.setattr(listings, "SCRIPTS", 2)
    for number in range(200):
        steps.enqueue(redis_store, f"j{number}", task="rare" if number % 90 == 0 else "common", message=None)
    found = pages(redis_store.jobs, lambda cursor: JobQuery(task="rare", limit=2, cursor=cursor))
    assert flat(found) == ["j180", "j90", "j0"]
    assert [] in found


def test_groups_are_looked_through_in_bounded_pieces(redis_store, monkeypatch):
    monkeypatch.setattr(listings, "LOOKED_AT", 5)
    monkeypatch.setattr(listings, "SCRIPTS", 2)
    for number in range(40):
        steps.batch(redis_store, f"g{number}")
    redis_store.seal_group("g3")
    found = pages(redis_store.groups, lambda cursor: GroupQuery(state=GroupState.COMPLETED, cursor=cursor))
    assert flat(found) == ["g3"]


def write_counters(redis_client, **counters):
    key = ROOT + b":g:g"
    numbers = msgpack.unpackb(redis_client.get(key), raw=True, strict_map_key=False)
    fields = dict(enumerate(numbers, 1)) if isinstance(numbers, list) else numbers
    fields.update({GROUP[name]: count for name, count in counters.items()})
    redis_client.set(key, msgpack.packb(fields, use_bin_type=False))


def test_recompute_repairs_drift_and_says_so(redis_store, redis_client, monkeypatch):
    monkeypatch.setattr(groups, "COUNTED_PAGES", 1)
    steps.group(redis_store)
    for number in range(300):
        steps.enqueue(redis_store, f"j{number}", group_id="g", message=None)
    steps.run(redis_store, "j7", group_id="g")
    steps.start(redis_store, "j8", "t8", group_id="g")
    write_counters(redis_client, total=9, failed=4, started=5)
    changed = redis_store.recompute_group("g")
    assert (changed.group.totals.total, changed.group.totals.succeeded) == (300, 1)
    assert "failed=4" in changed.repaired
    assert redis_store.group_status("g").started == 1
    assert redis_store.recompute_group("g").repaired is None


def test_recompute_completes_a_group_that_drift_kept_open(redis_store, redis_client, redis_clock):
    steps.group(redis_store)
    steps.enqueue(redis_store, group_id="g")
    write_counters(redis_client, total=2)
    steps.run(redis_store, "job", group_id="g")
    assert not steps.the_group(redis_store).is_over
    redis_clock.advance(61)
    assert "g" in redis_store.due_groups(10)
    changed = redis_store.recompute_group("g")
    assert changed.repaired
    assert changed.group.is_over
    assert len(steps.all_events(redis_store, redis_clock)) == 2


def test_recompute_uses_no_count_during_which_members_moved(redis_store, monkeypatch):
    monkeypatch.setattr(groups, "COUNTED_PAGES", 1)
    steps.group(redis_store)
    for number in range(300):
        steps.enqueue(redis_store, f"j{number}", group_id="g", message=None)
    ask = redis_store._ask

    def move_meanwhile(name, *arguments):
        answer = ask(name, *arguments)
        if name == "count_members" and arguments[1] == b"":
            steps.run(redis_store, "j0", group_id="g")
        return answer

    monkeypatch.setattr(redis_store, "_ask", move_meanwhile)
    changed = redis_store.recompute_group("g")
    assert changed.repaired is None
    assert (changed.group.totals.total, changed.group.totals.succeeded) == (300, 1)


def test_queued_members_of_a_large_group_are_all_found_in_the_end(redis_store):
    steps.group(redis_store)
    for number in range(400):
        steps.enqueue(redis_store, f"j{number}", group_id="g", message=None)
    redis_store.cancel_group("g")
    seen = 0
    while members := redis_store.queued_members("g", 30):
        for job in members:
            assert steps.settle(redis_store, job.id, JobState.REVOKED, Reason.GROUP_CANCELLED).applied
        seen += len(members)
        assert seen <= 400
    assert seen == 400
    assert steps.the_group(redis_store).is_over


def test_numbers_of_a_group_do_not_depend_on_its_texts(redis_store, redis_client):
    steps.group(redis_store, payload={"text": "x" * 100_000}, description="y" * 1000)
    steps.enqueue(redis_store, group_id="g")
    assert redis_client.strlen(ROOT + b":g:g") < 200


def test_finished_job_takes_at_most_600_bytes(redis_store, redis_client):
    def used():
        return redis_client.info("memory")["used_memory"]

    def record(count):
        for _ in range(count // 100):
            group_id = str(uuid.uuid4())
            steps.group(redis_store, group_id)
            redis_store.begin_filling(group_id, "f", 60)
            for _ in range(100):
                job_id, token = str(uuid.uuid4()), str(uuid.uuid4())
                more = {"task": "shop.tasks.images.resize_one_image", "root_id": job_id, "group_id": group_id}
                steps.enqueue(redis_store, job_id, message=b"m" * 400, **more)
                steps.start(redis_store, job_id, token, **more)
                steps.finish(redis_store, job_id, token, **more)
            (started,) = redis_store.end_filling(group_id, "f").events or [None]
            if started:
                redis_store.acknowledge_event(started.id, "me")

    record(500)
    before = used()
    record(3000)
    assert (used() - before) / 3000 <= 600
