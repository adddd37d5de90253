"""study.ledger.transient."""

from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException, RestException
from requests import ConnectionError as NotReached

from study.ledger.ledger import Ledger
from study.ledger.transient import is_transient
from tests.study.servers import Server

NOT_DOWNLOADED = (
    "The following failures occurred while downloading one or more artifacts from http://x:\n## File a ##\n"
)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": ""}), False),
        (RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": ""}), False),
        (RestException({"error_code": "INTERNAL_ERROR", "message": ""}), True),
        (RestException({"error_code": "CUSTOMER_UNAUTHORIZED", "message": ""}), True),
        (RestException({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": ""}), True),
        (MlflowException("API request to endpoint /x failed with error code 401 != 200. Response body: 'no'"), True),
        (MlflowException("API request to endpoint /x failed with error code 503 != 200. Response body: ''"), True),
        (MlflowException("API request to endpoint /x failed with error code 413 != 200. Response body: ''"), False),
        (
            MlflowException(
                "API request to endpoint was successful but the response body was not in a valid JSON format. "
                "Response body: '<html>\n</html>'"
            ),
            True,
        ),
        (MlflowException(f"{NOT_DOWNLOADED}401 Client Error: Unauthorized for url: http://x/1/404"), True),
        (MlflowException(f"{NOT_DOWNLOADED}404 Client Error: Not Found for url: http://x/1/503"), False),
        (MlflowException(f"{NOT_DOWNLOADED}('Connection aborted.', RemoteDisconnected('no response'))"), True),
        (MlflowException("Got an invalid metric"), False),
    ],
)
def test_what_a_server_refuses_is_not_repeated_and_what_comes_in_its_place_is(error: Exception, passes: bool) -> None:
    assert is_transient(error) is passes


@pytest.mark.slow
def test_what_a_server_refuses_does_not_pass_and_what_is_its_fault_does(server: Server, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, server.address)
    with pytest.raises(MlflowException) as refused:
        ledger.runs.tag("no run", {"any": "thing"})
    assert not is_transient(refused.value)
    assert is_transient(
        MlflowException("API request to endpoint /x failed with error code 503 != 200. Response body: ''")
    )
    assert not is_transient(
        MlflowException("API request to endpoint /x failed with error code 404 != 200. Response body: ''")
    )
    assert is_transient(MlflowException("API request to http://x failed with timeout exception"))
    assert not is_transient(NotReached("of another library"))
