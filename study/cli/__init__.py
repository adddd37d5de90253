"""The command line: it parses, calls the rest of `study`, and prints.

Whatever needs seconds to import is imported where it is needed, so that `list` and `--help` are instant.
"""
