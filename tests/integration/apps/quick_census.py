"""The example app with intervals so short that a test can wait for the checker."""

from example_app.app import app, jobtrack

__all__ = ["app", "jobtrack"]

app.conf.update(
    jobtrack_check_interval=0.5,
    jobtrack_heartbeat=0.5,
    jobtrack_lease=3.0,
    jobtrack_lost_message_after=3.0,
)
