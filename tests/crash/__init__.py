"""The crash suite: real processes and servers, one fault at a random moment, and then the accounts.

A round is drawn from a seed (``plan``), run in a fresh folder and a fresh database (``run``), struck by
one fault (``faults``), and judged by what must hold whatever died (``verdict``). ``make crash`` runs
many; ``test_rounds`` runs a few as ordinary tests.
"""
