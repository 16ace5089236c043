"""The Celery app: a broker and a store that are files, so that nothing has to be installed."""

import os
from pathlib import Path

from celery import Celery

from celery_jobtrack import JobTrack

HOME = Path(os.environ.get("CENSUS_HOME") or Path(__file__).parents[1] / ".jobtrack-demo").absolute()

app = Celery("census", include=["example_app.tasks", "example_app.listeners"])
app.conf.update(
    broker_url="filesystem://",
    broker_transport="celery_jobtrack.transport.filesystem:Transport",
    # Tracking needs no settings: its store is inferred from the broker, here jobtrack.db in this folder.
    broker_transport_options={"folder": str(HOME), "polling_interval": 0.05},
    task_ignore_result=True,
)

jobtrack = JobTrack(app)
jobtrack.autodiscover("example_app.jobs")
