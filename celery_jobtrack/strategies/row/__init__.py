"""Stores that can lock rows: the transitions are written here once, over a few primitives.

A backend supplies ``Rows`` (read, lock and write one row) and ``transaction``; the guards come
from ``model.moves`` and ``model.grouping``. Rows are locked in the order job, group, always, so two
transitions can wait for each other but never in a circle.
"""

from celery_jobtrack.strategies.row.rows import Conflict, Rows
from celery_jobtrack.strategies.row.store import RowStore

__all__ = ["Conflict", "RowStore", "Rows"]
