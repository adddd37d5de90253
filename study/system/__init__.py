"""The machine and the process: signals, streams, limits, retries, and which code this is."""
