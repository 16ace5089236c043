"""What users buy: groups, dispatching, class-style jobs, inspection.

May import: ``integration`` and everything below it. Siblings never import each other. Never belongs
here: a rule of state, a signal of Celery.
"""
