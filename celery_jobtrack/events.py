"""The signals to listen to, as blinker signals.

``job_group_started`` and ``job_group_completed`` are delivered at least once, in a worker's pool
process, with a stable ``event_id``; there is one event of each kind per generation of a group, and
started comes first. The others are sent in the process in which the fact happens.

A receiver is called with the ``JobTrack`` as sender and keyword arguments. blinker holds receivers
weakly: keep a reference, or connect with ``weak=False``.

Example::

    from celery_jobtrack import events

    @events.job_group_completed.connect
    def on_completed(sender, *, group, event_id, **extra):
        print(group.title, group.status().percent)
"""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

job_group_started = _signals.signal("job_group_started", "A group's first member started: group, event_id.")
job_group_completed = _signals.signal(
    "job_group_completed", "Nothing of a group's generation is outstanding: group, event_id."
)
job_enqueued = _signals.signal("job_enqueued", "A job was recorded and is about to be published: job.")
job_started = _signals.signal("job_started", "An attempt was opened: job.")
job_progressed = _signals.signal("job_progressed", "A running job recorded its progress: job.")
job_retrying = _signals.signal("job_retrying", "A job's next retry is about to be published: job.")
job_succeeded = _signals.signal("job_succeeded", "A job succeeded: job.")
job_failed = _signals.signal("job_failed", "A job failed for good: job.")
job_revoked = _signals.signal("job_revoked", "A job was cancelled, expired or terminated: job.")
job_skipped = _signals.signal("job_skipped", "A job was not run, or ended with Ignore: job.")
worker_lost = _signals.signal("worker_lost", "A worker was given up: worker_id, worker, jobs.")
