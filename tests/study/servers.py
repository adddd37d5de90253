"""Tracking servers for tests: MLflow's own, on SQLite or PostgreSQL; a faulty proxy before it."""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

POSTGRES_BIN = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/usr/lib/postgresql"))
"""Folder of the programs of PostgreSQL, where Debian's packages install them."""


class Postgres:
    """A PostgreSQL in a temporary folder, reached by a socket there; it refuses to run as root."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._user = {"user": "postgres", "group": "postgres", "extra_groups": ()}
            shutil.chown(self.folder, "postgres", "postgres")
        self.address = f"postgresql+psycopg2://mlflow@/postgres?host={self.folder}"
        make = [POSTGRES_BIN / "initdb", "--pgdata", "data", "--username", "mlflow", "--auth", "trust", "--no-sync"]
        subprocess.run(make, cwd=self.folder, check=True, capture_output=True, **self._user)
        self.start()

    def start(self) -> None:
        serve = [POSTGRES_BIN / "postgres", "-D", "data", "-k", self.folder, "-c", "listen_addresses=", "-F"]
        self.process = subprocess.Popen(
            serve, cwd=self.folder, stderr=subprocess.DEVNULL, start_new_session=True, **self._user
        )
        while subprocess.run([POSTGRES_BIN / "pg_isready", "--quiet", "--host", self.folder], check=False).returncode:
            assert self.process.poll() is None
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, with all transactions and connections."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()


class Server:
    """MLflow's server on a folder.

    Args:
        database: address of its database; empty for SQLite in the folder.
        artifacts: address where it keeps files; empty for the folder.
    """

    def __init__(self, folder: Path, port: int, database: str = "", artifacts: str = "") -> None:
        self.address = f"http://127.0.0.1:{port}"
        where = ["--backend-store-uri", database or f"sqlite:///{folder / 'mlflow.db'}"]
        where += ["--artifacts-destination", artifacts or str(folder / "artifacts")]
        where += ["--host", "127.0.0.1", "--port", str(port)]
        self.command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", *where]
        self.start()

    def start(self) -> None:
        no_jobs = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # seven processes that import MLflow
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=no_jobs
        )
        while not self.answers():
            assert self.process.poll() is None
            time.sleep(0.1)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health") as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


PAGE = b"<html><body>Please sign in to [/the network]</body></html>"


ON_BOTH = pytest.mark.parametrize("server", ["sqlite_server", "postgres_server"], indirect=True)
"""Runs a test on a server on SQLite, and on one on PostgreSQL."""
ON_POSTGRES = pytest.mark.parametrize("server", ["postgres_server"], indirect=True)
"""Runs a test on a server on PostgreSQL."""


class Proxy:
    """Passes requests on to a server, unless a fault is due.

    Args:
        faults: by the end of a path, what to do with one request after the other, and with all once it is used up:

            pass     pass it on
            lose     pass it on, and hang up before the answer
            twice    pass it on twice, and answer with the second answer
            refuse   answer 401 in the server's place
            page     answer in its place with a page of HTML and status 200

    Attributes:
        done: how often each fault came.
    """

    def __init__(self, server: Server, faults: Mapping[str, Iterator[str]]) -> None:
        self.faults = faults
        self.done: Counter[str] = Counter()
        self._host = server.address.removeprefix("http://")
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                proxy.answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - names that http.server calls

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        fault = self._fault(handler.path.split("?")[0])
        if fault == "refuse":
            self._send(handler, 401, b"expired credentials")
            return
        if fault == "page":
            self._send(handler, 200, PAGE)
            return
        for _ in range(2 if fault == "twice" else 1):
            connection = http.client.HTTPConnection(self._host)
            connection.request(handler.command, handler.path, body, dict(handler.headers))
            response = connection.getresponse()
            content = response.read()
            connection.close()
        if fault != "lose":
            self._send(handler, response.status, content)

    def _fault(self, path: str) -> str:
        with self._lock:
            fault = next((next(faults, "pass") for end, faults in self.faults.items() if path.endswith(end)), "pass")
            self.done[fault] += 1
        return fault

    def _send(self, handler: BaseHTTPRequestHandler, status: int, content: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
