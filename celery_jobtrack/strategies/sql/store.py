"""A store in an SQL database, whole."""

from __future__ import annotations

from celery_jobtrack.strategies.sql.faults import Faults
from celery_jobtrack.strategies.sql.group_queries import GroupQueries
from celery_jobtrack.strategies.sql.halts import HaltQueries
from celery_jobtrack.strategies.sql.locks import LockQueries
from celery_jobtrack.strategies.sql.plain_cases import PlainCases
from celery_jobtrack.strategies.sql.pruning import Pruning
from celery_jobtrack.strategies.sql.upkeep import Upkeep


class SqlStore(PlainCases, Faults, GroupQueries, LockQueries, HaltQueries, Pruning, Upkeep):
    """Jobs, groups, events, locks, workers and leases in SQLite, PostgreSQL, MySQL or MariaDB.

    Args:
        url: ``sqlite:////path/of/file.db``, ``postgresql://…``, ``mysql://…`` or ``mariadb://…``; also
            as Celery writes it, with ``db+`` or ``sqla+`` in front.
        namespace: Keeps apart what shares a database: 1 to 24 of ``a-z``, ``0-9`` and ``_``. Part of
            the tables' names.
        clock_offset: Gives seconds by which the store's time is moved; for tests.

    Raises:
        ConfigurationError: The URL or the namespace cannot be used, or a driver is not installed.

    Example::

        store = SqlStore("sqlite:////var/lib/app/jobs.db")
        store.open()
    """
