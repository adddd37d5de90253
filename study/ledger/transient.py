"""Transient errors of MLflow, its server, the network before it."""

import re

from mlflow.exceptions import MlflowException, RestException
from requests import HTTPError
from requests.exceptions import JSONDecodeError

from study.system import retry

UNREACHABLE = re.compile(
    "API request to .* failed with (exception|timeout exception)|.* response body was not in a valid JSON format"
    "|The following failures occurred while downloading .*Connection",
    re.DOTALL,
)
"""MLflow's messages where its server is not reached, or where a proxy's page comes in place of its answer."""
HTTP_ERROR = re.compile(
    r"API request to .* failed with error code (\d+)"
    r"|The following failures occurred while downloading .*?(\d{3}) (?:Client|Server) Error",
    re.DOTALL,
)
"""MLflow's messages where an HTTP error comes without a message of its own, and where files are not downloaded."""
MIN_SERVER_ERROR = 500
"""Smallest HTTP status of an error on the server's side."""
TRANSIENT_STATUSES = frozenset({401, 407, 408, 429})
"""HTTP statuses that somebody may fix while a study waits: expired credentials, a proxy, too many requests."""


class RunRestoredError(Exception):
    """A run was deleted in MLflow while it was written. It is restored, and the write can be repeated."""


def is_transient(error: BaseException) -> bool:
    """Return whether a call that raised this error may succeed later."""
    status = _http_status(error)
    if status is not None:
        return status >= MIN_SERVER_ERROR or status in TRANSIENT_STATUSES
    is_unreachable = isinstance(error, MlflowException) and (
        error.error_code == "TEMPORARILY_UNAVAILABLE" or UNREACHABLE.match(str(error)) is not None
    )
    return is_unreachable or isinstance(error, RunRestoredError | JSONDecodeError) or retry.is_transient(error)


def _http_status(error: BaseException) -> int | None:
    if isinstance(error, RestException):
        return int(error.get_http_status_code())  # type: ignore[no-untyped-call]  # untyped in MLflow
    if isinstance(error, HTTPError) and error.response is not None:
        return error.response.status_code
    match = HTTP_ERROR.match(str(error)) if isinstance(error, MlflowException) else None
    return None if match is None else int(match[1] or match[2])
