"""Many jobs at once: recorded by one write of the store, sent by one batch, chunk by chunk."""
