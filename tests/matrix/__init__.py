"""The compatibility matrix: every broker with every store under every pool, by real workers.

It stands on pytest-celery, whose plugin is loaded for these tests only, see ``tests/suites.py``.
"""
