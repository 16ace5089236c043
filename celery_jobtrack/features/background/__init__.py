"""``jobtrack.run_background``: any approved function as a job, without a task of its own."""

from celery_jobtrack.features.background.approval import Approval
from celery_jobtrack.features.background.background import RUN, Background, register

__all__ = ["RUN", "Approval", "Background", "register"]
