"""Signals, streams, limits, retries of a process."""
