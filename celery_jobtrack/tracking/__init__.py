"""How state changes: what a fact becomes, who is told, and what is done about what went wrong.

May import: ``strategies``, ``model``, ``events``, ``errors``. Never belongs here: Celery (it comes
in through ``Ports``), a loop of its own (each is a ``tick`` that a caller runs), a clock other than
the store's.
"""
