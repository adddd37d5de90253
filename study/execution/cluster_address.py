"""The address of a cluster to join, checked within seconds."""

import json
import socket
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import ray
from ray._private import services
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

from revit.errors import InputError

AUTO = "auto"
"""Address of the cluster that RAY_ADDRESS names, or else of one that runs on this machine, as Ray means it."""

CONNECT_TIMEOUT_S = 10.0
"""Maximum time to wait for a cluster to answer: Ray itself would wait for minutes."""

NO_TOKEN = "InvalidAuthToken"
"""Text in the error of a cluster that accepts only processes with its token."""

_QUESTION = """
import json, sys
from ray._common.usage.usage_lib import get_cluster_metadata
from ray._private.services import find_node_ids
from ray._raylet import GcsClient
client = GcsClient(address=sys.argv[1])
nodes = {node_id.hex() for node_id in client.get_all_node_info(timeout=5)}
print(json.dumps({**get_cluster_metadata(client), "has_this_machine": bool(nodes & set(find_node_ids()))}))
"""
"""Program that asks a cluster what it runs. A process of its own can be ended where it gets no answer."""


def find_cluster(address: str, named: str | None = None) -> str:
    """Return HOST:PORT of a running cluster that this process can join.

    Args:
        address: of the cluster's GCS, HOST:PORT, or `auto`.
        named: the cluster that RAY_ADDRESS names.

    Raises:
        InputError: there is none, it does not answer, it runs another version, or this machine is not one of its nodes.
    """
    found = (named or _running_here()) if address == AUTO else address
    host, _, port = found.rpartition(":")
    if found.startswith("ray://"):
        host = urlsplit(found).hostname or "HOST"
        raise InputError(
            f"--address = {found}: through Ray Client, Tune would run on the cluster's head, away from this ledger; "
            f"make this machine a node without trials, `ray start --address={host}:6379 --num-cpus=0 --num-gpus=0`, "
            f"then use --address {host}:6379"
        )
    if not host or "/" in host or not port.isdecimal():
        raise InputError(f"--address = {found}: must be auto, or HOST:PORT of a cluster, see `ray start --head`")
    _check(found, _ask(found))
    return found


def _running_here() -> str:
    try:
        address: str = services.get_ray_address_from_environment(AUTO, None)
    except ConnectionError as error:
        raise InputError("--address = auto: no Ray cluster runs on this machine, and RAY_ADDRESS is not set") from error
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)  # as Ray does, for what it finds
    return address


def _ask(address: str) -> dict[str, Any]:
    """Return the metadata of the cluster at HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"--address = {address}: no Ray cluster answers there: {error}") from error
    command = [sys.executable, "-c", _QUESTION, address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=CONNECT_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        reason = f"no Ray cluster answers there within {CONNECT_TIMEOUT_S:.0f} s"
        raise InputError(f"--address = {address}: {reason}") from error
    except subprocess.CalledProcessError as error:
        *_, reason = ["", *filter(None, error.stderr.splitlines())]
        if NO_TOKEN in error.stderr:
            reason = "it needs a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
        raise InputError(f"--address = {address}: the cluster cannot be joined: {reason}") from error
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _check(address: str, cluster: dict[str, Any]) -> None:
    own = ray.__version__, ".".join(map(str, sys.version_info[:3]))
    if own != (cluster["ray_version"], cluster["python_version"]):
        there = f"Ray {cluster['ray_version']} on Python {cluster['python_version']}"
        raise InputError(
            f"--address = {address}: the cluster runs {there}, and this process Ray {own[0]} on Python {own[1]}: "
            "they must be equal"
        )
    if not cluster["has_this_machine"]:
        raise InputError(
            f"--address = {address}: this machine is not a node of that cluster; "
            f"`ray start --address={address} --num-cpus=0 --num-gpus=0` makes it one, without trials"
        )
