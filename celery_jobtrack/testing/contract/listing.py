"""Listing jobs and groups: filters, order, and pages that stay put while rows are added."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.requests import GroupQuery, JobQuery
from celery_jobtrack.model.state import GroupState, JobState, Outcome
from celery_jobtrack.testing.steps import enqueue, group, run, start, the_group, the_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_jobtrack.model.requests import Page
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock


def _ids(page: Page) -> list[str]:
    return [item.id for item in page.items]


def _pages(list_page: Callable[[Any], Page], query: JobQuery | GroupQuery) -> list[list[str]]:
    """The ids of every page, until there is no next one."""
    pages = []
    cursor: str | None = None
    while True:
        page = list_page(replace(query, cursor=cursor))
        pages.append(_ids(page))
        cursor = page.cursor
        if cursor is None:
            return pages
        assert len(pages) < 100, "the pages do not end"


class ListingContract:
    """``jobs`` and ``groups``."""

    def test_jobs_are_listed_newest_first(self, store: Store) -> None:
        assert _ids(store.jobs(JobQuery())) == []
        for number in range(5):
            enqueue(store, f"j{number}")
        page = store.jobs(JobQuery())
        assert _ids(page) == ["j4", "j3", "j2", "j1", "j0"]
        assert page.cursor is None
        assert page.items[0] == the_job(store, "j4")

    @pytest.mark.parametrize("cursor", ["", "abc", "-1", "1.5", "\u0663", "\u00b2", "1 OR 1=1"])
    def test_what_is_no_cursor_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(InvalidPayload, match="cursor"):
            store.jobs(JobQuery(cursor=cursor))
        with pytest.raises(InvalidPayload, match="cursor"):
            store.groups(GroupQuery(cursor=cursor))

    def test_jobs_stay_in_their_place_when_they_change(self, store: Store) -> None:
        for number in range(3):
            enqueue(store, f"j{number}")
        run(store, "j0")
        start(store, "j1", "t1")
        assert _ids(store.jobs(JobQuery())) == ["j2", "j1", "j0"]

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 10])
    def test_jobs_come_in_pages(self, store: Store, limit: int) -> None:
        for number in range(7):
            enqueue(store, f"j{number}")
        pages = _pages(store.jobs, JobQuery(limit=limit))
        assert list(chain(*pages)) == [f"j{number}" for number in reversed(range(7))]
        assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
        assert pages[-1]

    def test_jobs_added_while_paging_do_not_shift_the_pages(self, store: Store) -> None:
        for number in range(6):
            enqueue(store, f"j{number}")
        first = store.jobs(JobQuery(limit=3))
        enqueue(store, "new1")
        enqueue(store, "new2")
        second = store.jobs(JobQuery(limit=3, cursor=first.cursor))
        assert _ids(first) + _ids(second) == ["j5", "j4", "j3", "j2", "j1", "j0"]

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"state": JobState.SUCCESS}, ["done"]),
            ({"state": JobState.FAILURE}, ["bad"]),
            ({"state": JobState.ENQUEUED}, ["tagged", "other", "plain"]),
            ({"task": "shop.other"}, ["other"]),
            ({"queue": "high"}, ["member", "other"]),
            ({"group_id": "g"}, ["member"]),
            ({"tag": "red"}, ["tagged"]),
            ({"tag": "re"}, []),
            ({"tag": "red", "state": JobState.SUCCESS}, []),
            ({"queue": "high", "task": "shop.other"}, ["other"]),
            ({"queue": "High"}, []),
        ],
    )
    def test_jobs_are_filtered(self, store: Store, filters: dict[str, Any], expected: list[str]) -> None:
        group(store)
        enqueue(store, "plain")
        enqueue(store, "done")
        run(store, "done")
        enqueue(store, "bad")
        run(store, "bad", Outcome.FAILURE)
        enqueue(store, "other", task="shop.other", queue="high")
        enqueue(store, "tagged", tags=("red", "dark red"))
        enqueue(store, "member", group_id="g", queue="high")
        start(store, "member", "tm", group_id="g", queue="high")
        assert _ids(store.jobs(JobQuery(**filters))) == expected
        assert list(chain(*_pages(store.jobs, JobQuery(**filters, limit=1)))) == expected

    def test_jobs_are_filtered_by_time(self, store: Store, clock: Clock) -> None:
        enqueue(store, "old")
        start(store, "old-unannounced", "t1")
        clock.advance(60)
        since = store.now()
        clock.advance(1)
        enqueue(store, "new")
        start(store, "new-unannounced", "t2")
        run(store, "old")
        assert _ids(store.jobs(JobQuery(since=since))) == ["new-unannounced", "new"]

    def test_jobs_of_every_origin_are_listed(self, store: Store) -> None:
        enqueue(store, "enqueued")
        start(store, "started", "t1")
        run(store, "finished")
        assert _ids(store.jobs(JobQuery())) == ["finished", "started", "enqueued"]

    def test_jobs_with_many_tags_are_listed_once(self, store: Store) -> None:
        tags = tuple(f"tag-{number}" for number in range(20))
        enqueue(store, tags=tags)
        assert _ids(store.jobs(JobQuery())) == ["job"]
        assert _ids(store.jobs(JobQuery(tag="tag-13"))) == ["job"]
        assert the_job(store).tags == tags

    def test_groups_are_listed_newest_first_in_pages(self, store: Store) -> None:
        for number in range(7):
            group(store, f"g{number}")
        assert store.groups(GroupQuery(limit=1)).items[0] == the_group(store, "g6")
        for limit in (1, 3, 7, 50):
            pages = _pages(store.groups, GroupQuery(limit=limit))
            assert list(chain(*pages)) == [f"g{number}" for number in reversed(range(7))]

    def test_groups_added_while_paging_do_not_shift_the_pages(self, store: Store) -> None:
        for number in range(4):
            group(store, f"g{number}")
        first = store.groups(GroupQuery(limit=2))
        group(store, "new")
        second = store.groups(GroupQuery(limit=2, cursor=first.cursor))
        assert _ids(first) + _ids(second) == ["g3", "g2", "g1", "g0"]

    def test_groups_are_filtered_by_state(self, store: Store) -> None:
        for name in ("awaiting", "running", "completed", "cancelled"):
            group(store, name)
            enqueue(store, f"{name}-job", group_id=name)
        start(store, "running-job", "tr", group_id="running")
        run(store, "completed-job", group_id="completed")
        store.cancel_group("cancelled")
        for state in GroupState:
            assert _ids(store.groups(GroupQuery(state=state))) == [state.value.lower()]

    def test_groups_are_filtered_by_what_is_due(self, store: Store) -> None:
        for number, seconds in enumerate((10, 100, 20)):
            group(store, f"g{number}", time_to_check=seconds)
            enqueue(store, f"j{number}", group_id=f"g{number}")
        group(store, "idle")
        due_before = store.now() + timedelta(seconds=50)
        assert _ids(store.groups(GroupQuery(due_before=due_before))) == ["g2", "g0"]
