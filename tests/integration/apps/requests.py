"""A worker's request as users may have it."""

from celery.worker.request import Request


class OwnRequest(Request):
    """Celery's, under another name."""
