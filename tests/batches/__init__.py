"""Random batches under two workers: each has to end, with exactly the callbacks that a model predicts.

A plan is drawn from a seed (``plan``, ``drawing``), carried out many batches at a time (``course``) while
workers are killed (``kills``), and judged: ``model`` predicts from what became of the members which callbacks
there must be, ``verdict`` compares. ``make batches`` runs 300; ``test_rounds`` runs a few as ordinary tests.
"""
