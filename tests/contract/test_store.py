"""The contract suite on every store of the package; ``-k postgresql`` takes one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.testing import StoreContract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing import Clock
    from tests.contract.backends import Backend


class TestStore(StoreContract):
    @pytest.fixture
    def store(self, backend: Backend, clock: Clock) -> Iterator[Store]:
        with backend.fresh(clock) as store:
            yield store
