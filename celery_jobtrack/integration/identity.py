"""Who this process is to the store."""

from __future__ import annotations

import os
import socket
import uuid

from celery_jobtrack.model.requests import AD_HOC, Worker

VARIABLE = "CELERY_JOBTRACK_WORKER"
"""Carries a worker's identity to pool children that are spawned and not forked."""


class Identity:
    """The worker that this process belongs to, or none yet.

    A forked pool child inherits the object; a spawned one finds the identity in its environment,
    where its parent's pid beside it tells it from a process that a task has started.
    """

    def __init__(self) -> None:
        self._id: str | None = None
        self._name = ""
        self._made: Worker | None = None

    @property
    def is_set(self) -> bool:
        """Whether this process belongs to a worker, or has taken an identity of its own."""
        return self._id is not None

    def become_worker(self, name: str) -> Worker:
        """This process is a worker's main process: a new identity, one per boot."""
        self._id, self._name = uuid.uuid4().hex, name
        os.environ[VARIABLE] = f"{os.getpid()} {self._id} {name}"
        return self.worker()

    def become_ad_hoc(self) -> Worker:
        """This process runs jobs without being a worker, such as an eager one."""
        self._id, self._name = uuid.uuid4().hex, f"{AD_HOC}{socket.gethostname()}"
        return self.worker()

    def inherit(self) -> None:
        """This process is a pool child: belong to the parent's worker."""
        pid, _, rest = os.environ.get(VARIABLE, "").partition(" ")
        if self._id is None and pid == str(os.getppid()):
            self._id, _, self._name = rest.partition(" ")

    def forget(self) -> None:
        """A fork that is no pool child does not inherit an ad-hoc identity."""
        self._id = None

    def worker(self) -> Worker:
        """As the store takes it, with the pid of this very process."""
        assert self._id is not None
        pid = os.getpid()
        made = self._made
        if made is None or made.pid != pid or made.id != self._id:
            made = self._made = Worker(id=self._id, name=self._name, pid=pid)
        return made
