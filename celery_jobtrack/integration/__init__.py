"""Where Celery touches us: the task class, publishing, signals, worker bootstep, internal tasks.

May import: ``tracking`` and everything below it, Celery, kombu. Never belongs here: a rule of state
(that is ``model``), a surface for people.
"""
