"""Digest of the package's source code, so that two processes can check that they run the same."""

import hashlib
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

FOLDER = Path(__file__).parent


def source_digest(folder: Path | None = None) -> str:
    """Return the digest of the source files of this, or another, package on disk: 16 hexadecimal digits."""
    digest, folder = hashlib.sha256(), folder or FOLDER
    for path in sorted(folder.rglob("[!.]*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


SOURCE = source_digest()
"""Digest of the source files when this process imported the package."""


def import_all() -> str:
    """Import every module of the package, so that later changes on disk have no effect.

    Returns:
        The digest of the imported source; empty if files changed meanwhile.
    """
    before = source_digest()
    for module in walk_packages([str(FOLDER)], "revit."):
        import_module(module.name)
    return before if before == source_digest() else ""
