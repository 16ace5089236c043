"""The demonstration around the census: processes, screen, work directory. Nothing that an app needs."""
