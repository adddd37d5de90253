"""Provenance of a launch: command, host, user, commit."""

import getpass
import socket
import subprocess
from pathlib import Path

from study.ledger.schema import COMMAND_TAG, COMMIT_TAG, GIT_DIRTY_TAG, HOST_TAG, USER_TAG

ROOT = Path(__file__).parents[2]
CODE = ("run_study.py", "study", "search_spaces", "revit")


def launch_tags(command: str) -> dict[str, str]:
    """Return the tags of a launch that say who started it, where, and from which code.

    Args:
        command: what was typed, without passwords.
    """
    return {COMMAND_TAG: command, HOST_TAG: socket.gethostname(), USER_TAG: _user(), **git_tags(ROOT)}


def git_tags(root: Path) -> dict[str, str]:
    """Return the commit of a working tree, and whether its code differs from it; empty where there is no git."""
    try:
        top, commit = _git(root, "rev-parse", "--show-toplevel", "HEAD").splitlines()
        changed = _git(root, "status", "--porcelain", "--", *CODE)
    except (OSError, subprocess.SubprocessError):
        return {}
    is_ours = Path(top) == root.resolve()  # else it is installed somewhere below another project's tree
    return {COMMIT_TAG: commit, GIT_DIRTY_TAG: str(bool(changed)).lower()} if is_ours else {}


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have a number only
        return "unknown"
