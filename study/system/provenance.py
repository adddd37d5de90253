"""Who launched a study, where, from which code: tags of the launch's run."""

import getpass
import socket
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = ("run_study.py", "study", "search_spaces", "revit")
USER_TAG, COMMIT_TAG = "mlflow.user", "mlflow.source.git.commit"
"""MLflow's own tags, which its UI shows as columns."""


def launch_tags(command: str) -> dict[str, str]:
    """Return the command, host, user, and the commit of the code.

    Args:
        command: what was typed; the caller sees to it that it holds no password.
    """
    return {"command": command, "host": socket.gethostname(), USER_TAG: _user(), **git_tags(ROOT)}


def git_tags(root: Path) -> dict[str, str]:
    """Return the commit of a working tree, and whether its code differs from it; nothing where there is no git."""
    try:
        top, commit = _git(root, "rev-parse", "--show-toplevel", "HEAD").splitlines()
        changed = _git(root, "status", "--porcelain", "--", *CODE)
    except (OSError, subprocess.SubprocessError):
        return {}
    is_ours = Path(top) == root.resolve()  # else it is installed somewhere below another project's tree
    return {COMMIT_TAG: commit, "git_dirty": str(bool(changed)).lower()} if is_ours else {}


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have a number only
        return "unknown"
