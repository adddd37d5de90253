"""Tells which source code of this package a process runs, so that two processes can make sure that it is the same."""

import hashlib
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

FOLDER = Path(__file__).parent


def source_digest() -> str:
    """Return 16 hexadecimal digits that name the package's source files, as they are on disk now."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.rglob("[!.]*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(FOLDER)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


SOURCE = source_digest()
"""Digest of the source files when this process imported the package."""


def import_all() -> str:
    """Import every module of the package: what is on disk does not count any more from then on.

    Returns:
        The digest of what was imported; empty where files changed meanwhile.
    """
    before = source_digest()
    for module in walk_packages([str(Path(__file__).parent)], "revit."):
        import_module(module.name)
    return before if before == source_digest() else ""
