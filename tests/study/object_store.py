"""An object store for tests: moto's server, which speaks S3, in a thread of this process."""

import logging
import urllib.request
from types import TracebackType
from uuid import uuid4

import pytest
from moto.server import ThreadedMotoServer


class ObjectStore:
    """S3 on a free port of this machine, in memory. Credentials are set in the environment."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line per request
        self._server = ThreadedMotoServer("127.0.0.1", 0)

    def __enter__(self) -> "ObjectStore":
        self._server.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.stop()

    def address(self, path: str) -> str:
        return f"s3://{path}?scheme=http&endpoint_override={self._host}"

    def new_address(self) -> str:
        """Return the address of a new bucket."""
        bucket = uuid4().hex
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{bucket}", method="PUT")).close()
        return self.address(f"{bucket}/prefix")

    @property
    def endpoint(self) -> str:
        return f"http://{self._host}"

    @property
    def _host(self) -> str:
        host, port = self._server.get_host_and_port()
        return f"{host}:{port}"
