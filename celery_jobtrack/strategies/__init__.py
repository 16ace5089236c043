"""Where state lives: one contract, its backends, and the small strategies that users write.

May import: ``model``, ``errors``, ``config``, a database library. Never belongs here: Celery, the
decision when to make a transition (that is ``tracking``), delivery of events.
"""
