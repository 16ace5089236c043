"""For those who write a store of their own: the suite that every store of this package passes.

Subclass ``StoreContract`` in a test module and supply the fixture ``store``: opened, empty, and
running on ``clock``. pytest collects the rest::

    import pytest
    from celery_jobtrack.testing import Clock, StoreContract


    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self, clock: Clock):
            store = MyStore("my://server", namespace=fresh_name(), clock_offset=clock.offset)
            store.open()
            yield store
            store.close()

``clock.offset()`` are the seconds to add to the store's own time, ``clock.time()`` is the machine's
time with them added, for a store that has no time of its own. Tests move it with
``clock.advance(seconds)``. A store may be shared by threads, so the suite uses it from twenty.

May import: everything below it, and pytest, which ``celery_jobtrack`` itself never imports.
"""

import pytest

# Before the modules with the tests are imported, so that their asserts explain themselves.
pytest.register_assert_rewrite("celery_jobtrack.testing.contract")

from celery_jobtrack.testing.clock import Clock  # noqa: E402
from celery_jobtrack.testing.contract import StoreContract  # noqa: E402

__all__ = ["Clock", "StoreContract"]
