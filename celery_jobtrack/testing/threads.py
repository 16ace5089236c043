"""Threads that do their work at the same moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

T = TypeVar("T")

MEETING_SECONDS = 60.0
"""How long the threads wait for each other before the test fails."""


class Crowd:
    """A number of threads that meet at a barrier before each piece of work.

    Example::

        with Crowd(20) as crowd:
            results = crowd.together(lambda n: store.start(request(n)))
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._barrier = threading.Barrier(size)
        self._pool = ThreadPoolExecutor(size)

    def together(self, work: Callable[[int], T]) -> list[T]:
        """What ``work(0)``, ``work(1)``, … return, all begun at the same moment.

        Raises:
            Exception: What the first of them raised.
        """

        def meet(number: int) -> T:
            self._barrier.wait(MEETING_SECONDS)
            return work(number)

        futures = [self._pool.submit(meet, number) for number in range(self.size)]
        return [future.result(MEETING_SECONDS) for future in futures]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
