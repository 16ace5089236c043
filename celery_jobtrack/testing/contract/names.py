"""Names of every kind are kept as they are, and apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.model.requests import JobQuery, Worker
from celery_jobtrack.testing.steps import enqueue, finish, group, start, the_group, the_job

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store

STRANGE = [
    "emoji 🚀👩‍👩‍👧",
    "quote ' and \" and ` and \\",
    "'; DROP TABLE jobs; --",
    "percent % under_score %s %(name)s :name {braces} ?",
    "ünïcödé ß ﬁ Ω 日本語",
    "null-ish NULL None",
    "a/b:c*d[e]|f",
]
ALIKE = [
    ("name", "Name"),
    ("name", "name "),
    ("name", " name"),
    ("cafe", "café"),
    ("caf\u00e9", "cafe\u0301"),
    ("strasse", "straße"),
    ("1", "01"),
    ("a_b", "aXb"),
    ("🚀", "🛸"),
]


class NameContract:
    """Ids, keys, tokens, queues, tasks, tags: no name is changed, no two names are one."""

    @pytest.mark.parametrize("name", STRANGE)
    def test_name_comes_back_as_it_was(self, store: Store, name: str) -> None:
        group(store, name, key=name, title=name, description=name, payload={name: name})
        enqueue(store, name, task=name, queue=name, args=name, kwargs=name, tags=(name,), group_id=name)
        began = start(store, name, name, worker=Worker(id=name, name=name, pid=1), group_id=name)
        assert began.admitted
        assert began.events[0].group_id == name
        job = the_job(store, name)
        assert {job.id, job.task, job.queue, job.args, job.kwargs, job.group_id, *job.tags} == {name}
        assert job.token == name
        (attempt,) = store.attempts(name)
        assert {attempt.token, attempt.job_id, attempt.worker_id, attempt.worker} == {name}
        record = the_group(store, name)
        assert {record.id, record.key, record.title, record.description} == {name}
        assert record.payload == {name: name}
        assert store.group_by_key(name) == record
        query = JobQuery(task=name, queue=name, tag=name, group_id=name)
        assert [found.id for found in store.jobs(query).items] == [name]
        assert finish(store, name, name, group_id=name).applied
        assert the_group(store, name).is_over

    @pytest.mark.parametrize(("one", "other"), ALIKE)
    def test_ids_that_look_alike_are_two_jobs(self, store: Store, one: str, other: str) -> None:
        assert enqueue(store, one, message=b"1").created
        assert store.job(other) is None
        assert enqueue(store, other, message=b"2").created
        assert (store.message(one), store.message(other)) == (b"1", b"2")
        start(store, one, "t1")
        assert not store.attempts(other)

    @pytest.mark.parametrize(("one", "other"), ALIKE)
    def test_tokens_that_look_alike_are_two_attempts(self, store: Store, one: str, other: str) -> None:
        assert start(store, "a", one).admitted
        assert start(store, "b", other).admitted
        assert not finish(store, "a", other).applied
        assert finish(store, "a", one).applied

    @pytest.mark.parametrize(("one", "other"), ALIKE)
    def test_groups_and_keys_that_look_alike_are_two_groups(self, store: Store, one: str, other: str) -> None:
        first = group(store, one, key=one)
        assert store.group(other) is None
        assert store.group_by_key(other) is None
        second = group(store, other, key=other)
        assert first.id != second.id
        enqueue(store, "a", group_id=one)
        assert the_group(store, one).totals.total == 1
        assert the_group(store, other).totals.total == 0
        store.begin_filling(one, "f", 60)
        status = store.group_status(other)
        assert status is not None
        assert not status.filling

    @pytest.mark.parametrize(("one", "other"), ALIKE)
    def test_filters_keep_apart_what_looks_alike(self, store: Store, one: str, other: str) -> None:
        enqueue(store, "a", task=one, queue=one, tags=(one,))
        enqueue(store, "b", task=other, queue=other, tags=(other,))
        for name, job_id in ((one, "a"), (other, "b")):
            for query in (JobQuery(task=name), JobQuery(queue=name), JobQuery(tag=name)):
                assert [job.id for job in store.jobs(query).items] == [job_id]

    @pytest.mark.parametrize(("one", "other"), ALIKE)
    def test_leases_and_fillers_that_look_alike_are_two(self, store: Store, one: str, other: str) -> None:
        assert store.acquire_lease(one, "holder", 30)
        assert store.acquire_lease(other, "somebody", 30)
        assert not store.acquire_lease(one, "Holder", 30)
        group(store)
        store.begin_filling("g", one, 60)
        store.end_filling("g", other)
        status = store.group_status("g")
        assert status is not None
        assert status.filling

    def test_a_job_and_a_group_may_share_an_id(self, store: Store) -> None:
        group(store, "nightly")
        assert enqueue(store, "nightly", group_id="nightly").created
        assert the_group(store, "nightly").totals.total == 1

    def test_long_texts_come_back_whole(self, store: Store) -> None:
        text = "äöü 🚀 " * 20_000
        group(store, payload={"text": text})
        enqueue(store, args=text, kwargs=text)
        assert the_job(store).args == text
        assert the_group(store).payload == {"text": text}
