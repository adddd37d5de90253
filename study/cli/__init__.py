"""The command line: parses options, calls `study.api`, prints.

Heavy libraries are imported by the functions that need them, so that `list` and `--help` are instant.
"""
