"""What happens when a census starts and completes. Listeners run in a worker.

An event is delivered at least once, so they do nothing that a second time would spoil: the notes carry
the event's id, and the report is written anew.
"""

from celery_jobtrack import JobGroup, JobTrack, events
from example_app import ledger
from example_app.jobs import WriteReport


@events.job_group_started.connect
def on_started(_sender: JobTrack, *, group: JobGroup, event_id: str, **_extra: object) -> None:
    """Note that the first job of a census has started."""
    ledger.add(group.id, "events", id=event_id, event="started", at=f"{group.started_at}")


@events.job_group_completed.connect
def on_completed(_sender: JobTrack, *, group: JobGroup, event_id: str, **_extra: object) -> None:
    """Note that all jobs of a census have ended, and have the report written."""
    ledger.add(group.id, "events", id=event_id, event="completed", at=f"{group.completed_at}")
    WriteReport.dispatch(census=group.id)
