"""Measurements and trials by fire that are run by command."""
