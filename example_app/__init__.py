"""A source census: counts what is in a tree of Python sources, one tracked job per file.

To copy from: ``app`` (a Celery app with tracking), ``tasks``, ``jobs`` (class-style), ``listeners``
(what happens when a group starts and completes), with ``sources`` and ``ledger`` as the application's
own work. Everything else (``python -m example_app``) is the demonstration around it.
"""
