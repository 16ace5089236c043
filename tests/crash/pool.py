"""Rounds side by side, each lane with a process and servers of its own."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING

from tests.crash.lane import Lane
from tests.crash.run import Result, run_round

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.crash.plan import Plan

_HERE: dict[str, Lane] = {}
"""The lane of this process, which the pool gives no other place to keep it."""


def run_all(plans: Sequence[Plan], lanes: int, *, keep: bool) -> Iterator[Result]:
    """The results as they come.

    Args:
        plans: The rounds.
        lanes: How many at a time.
        keep: Whether the folders of good rounds are kept, too.
    """
    # Servers end with the thread that started them: it must be the main one of its process.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(lanes, mp_context=context, initializer=_open_lane) as pool:
        futures: list[Future[Result]] = [pool.submit(_round, plan, keep) for plan in plans]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _open_lane() -> None:
    lane = _HERE["lane"] = Lane()
    Finalize(None, lane.replace, exitpriority=100)  # the processes of a pool call no atexit


def _round(plan: Plan, keep: bool) -> Result:
    return run_round(plan, _HERE["lane"], keep=keep)
