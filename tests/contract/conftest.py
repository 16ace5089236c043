"""Every store that the package brings, each under every test that asks for ``backend``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.backends import NAMES, FrozenMemoryBackend, MemoryBackend, SqlBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.backends import Backend


@pytest.fixture(scope="session", params=NAMES)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A kind of store; ``fresh(clock)`` gives an empty one."""
    if request.param == "memory":
        yield MemoryBackend()
    elif request.param == "memory-frozen":
        yield FrozenMemoryBackend()
    else:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'jobs.db'}"
        else:
            url = request.getfixturevalue(f"{request.param}_server").new_database()
        with SqlBackend(request.param, url) as sql:
            yield sql
