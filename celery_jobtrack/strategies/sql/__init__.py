"""Stores in SQL databases: the transitions of ``strategies.row`` over rows that are locked.

May import: ``model``, ``errors``, ``strategies``, SQLAlchemy; Alembic only where tables are made or
upgraded. Never belongs here: a rule of what may follow what (that is ``model`` and ``strategies.row``),
Celery.

Rows are locked in the order job, group, tally, pause; at READ COMMITTED on servers, one writer at a time on
SQLite. ``statements.py`` holds what transitions execute, ``*_queries.py`` what only reads.
"""

from celery_jobtrack.strategies.sql.store import SqlStore

__all__ = ["SqlStore"]
