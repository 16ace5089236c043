"""The job log and the error log: what happens to jobs, as lines of JSON in files."""
