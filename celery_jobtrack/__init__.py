"""Know and steer what Celery jobs do."""
