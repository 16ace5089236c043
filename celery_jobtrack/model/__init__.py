"""What a job, an attempt, a group and an event *are*: frozen values and the rules that move them.

May import: the standard library. Never belongs here: input or output, a clock, a store, Celery.
Time is always passed in, as an aware ``datetime`` in UTC that the store gave.
"""
