"""Every store says in which namespace an id is not."""

from __future__ import annotations

from contextlib import closing

import pytest

from celery_jobtrack.errors import UnknownGroup, UnknownJob
from celery_jobtrack.model.requests import EnqueueRequest, Origin, RedriveRequest
from celery_jobtrack.strategies.resolve import resolve


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request, tmp_path):
    url = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/jobs.db"}.get(request.param)
    url = url or request.getfixturevalue("redis_url")
    with closing(resolve(url, {}, namespace="elsewhere").store) as made:
        made.open()
        yield made


def test_store_names_the_namespace_in_which_an_id_is_not(store):
    asked = {
        UnknownJob: [
            lambda: store.request_cancel("nope"),
            lambda: store.redrive(RedriveRequest(job_id="nope")),
        ],
        UnknownGroup: [
            lambda: store.seal_group("nope"),
            lambda: store.recompute_group("nope"),
            lambda: store.begin_filling("nope", "token", 30),
            lambda: store.reopen_group("nope", "token", 30, keep_totals=True),
            lambda: store.enqueue(EnqueueRequest(origin=Origin(job_id="j", task="t", group_id="nope"))),
        ],
    }
    for kind, calls in asked.items():
        for call in calls:
            with pytest.raises(kind, match=r"'nope' .* in namespace 'elsewhere'"):
                call()
