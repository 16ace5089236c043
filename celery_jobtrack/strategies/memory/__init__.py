"""A store in the memory of one process: for tests, eager apps and the ``memory://`` broker."""

from celery_jobtrack.strategies.memory.store import MemoryStore

__all__ = ["MemoryStore"]
