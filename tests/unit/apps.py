"""Small apps in one process: the memory broker, the memory store."""

from __future__ import annotations

import uuid

import pytest
from celery import Celery

from celery_jobtrack import JobTrack


class SmallApp:
    """An app with a tracked task or two, and a look at what its broker holds."""

    def __init__(self, **conf):
        self.app = Celery("small", broker="memory://", backend="cache+memory://", set_as_current=False)
        # The memory broker is one for the whole process: a queue of its own keeps the apps apart.
        self.queue = f"small-{uuid.uuid4().hex}"
        self.app.conf.update(jobtrack_strategy="memory://", task_default_queue=self.queue, **conf)
        self.jobtrack = JobTrack(self.app)

    def task(self, **options):
        from celery_jobtrack import TrackableTask

        return self.app.task(**{"base": TrackableTask, "shared": False, **options})

    def queued(self):
        """How many messages the broker holds."""
        with self.app.connection_for_read() as connection:
            try:
                return connection.default_channel.queue_declare(self.queue, passive=True).message_count
            except connection.channel_errors:
                return 0

    def recorded(self):
        return list(self.jobtrack.inspect.jobs(limit=1000).items)

    def close(self):
        self.jobtrack.close()
        self.app.close()


@pytest.fixture
def small():
    made = SmallApp()
    yield made
    made.close()


@pytest.fixture
def eager():
    made = SmallApp(task_always_eager=True)
    yield made
    made.close()
