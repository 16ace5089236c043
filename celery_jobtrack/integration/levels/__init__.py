"""Levels of queues: ``jobtrack_queues`` made of what Celery and kombu let an app name.

`declared` adds the levels to ``app.amqp.queues``, `routing` refuses queues that nobody knows, `numbers`
turns a level and a number into a broker's priority, `connecting` gives a worker's channels their order, and
`advice` says at a worker's start what would defeat it. Without the setting none of them does anything.
"""

from celery_jobtrack.integration.levels.app_levels import AppLevels
from celery_jobtrack.integration.levels.broker import Broker
from celery_jobtrack.integration.levels.numbers import HIGHEST, native, number_of

__all__ = ["HIGHEST", "AppLevels", "Broker", "native", "number_of"]
