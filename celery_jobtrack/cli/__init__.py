"""``celery -A app jobtrack …``: looks and steers from a terminal, through the facade only.

Celery imports this package for each of its commands, so it costs nothing until one of ours runs: only
click and ``celery.bin`` are imported here, and rich, the facade and the ``show_*`` modules inside of
the commands. Never belongs here: a rule of state, a question to a store that the facade cannot ask.
"""

from __future__ import annotations

from celery_jobtrack.cli.check import check
from celery_jobtrack.cli.db import db
from celery_jobtrack.cli.doctor import doctor
from celery_jobtrack.cli.group import group
from celery_jobtrack.cli.job import job
from celery_jobtrack.cli.listings import groups, jobs
from celery_jobtrack.cli.locks import locks
from celery_jobtrack.cli.pausing import pause, resume
from celery_jobtrack.cli.prune import prune
from celery_jobtrack.cli.queues import queues
from celery_jobtrack.cli.root import jobtrack
from celery_jobtrack.cli.sending import dispatch, run
from celery_jobtrack.cli.status import status

for command in (
    status,
    jobs,
    job,
    groups,
    group,
    queues,
    locks,
    pause,
    resume,
    run,
    dispatch,
    check,
    doctor,
    prune,
    db,
):
    jobtrack.add_command(command)

__all__ = ["jobtrack"]
