"""Class-style jobs, found by ``jobtrack.autodiscover``."""
