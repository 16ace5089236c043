"""What ``run_background`` may run, and what it may not."""
