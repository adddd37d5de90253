"""Mirror of searches in Optuna's own format, for optuna-dashboard: written, never read back."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna_dashboard
from filelock import FileLock, Timeout
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study

from revit.errors import InputError
from revit.training.metrics import METRICS
from study.search.cell_search import CellSearch
from study.search.optuna_study import OPTUNA_STATES, frozen_trial, rebuild
from study.search.past_point import PastPoint

LOOPBACK = "127.0.0.1"


class Mirror:
    """A JournalStorage with an Optuna study for each search.

    A point is a trial. One that failed and is trained again is a further trial: those of Optuna that have ended stay.

    Args:
        storage: empty.
    """

    def __init__(self, storage: JournalStorage) -> None:
        self.storage = storage
        self._written: dict[str, dict[int, tuple[int, PastPoint]]] = {}

    def update(self, searches: Mapping[str, CellSearch]) -> None:
        """Write what is new in searches, by the names of their studies."""
        for name, search in searches.items():
            if name not in self._written:
                signs = [METRICS[each].sign for each in search.objectives]
                study = rebuild(search.cell.axes, [], signs, storage=self.storage, study_name=name)
                _name_objectives(study, [METRICS[each].val_name for each in search.objectives])
                self._written[name] = {}
            for past in search.history:
                self._write(name, search, past)

    def _write(self, name: str, search: CellSearch, past: PastPoint) -> None:
        trial_id, written = self._written[name].get(past.number, (-1, None))
        if past == written:
            return
        frozen = frozen_trial(past, search.cell.axes)
        if written is None or written.state in OPTUNA_STATES:
            study_id = self.storage.get_study_id_from_name(name)
            trial_id = self.storage.create_new_trial(study_id, template_trial=frozen)
        else:
            for step, value in past.curve.items():
                self.storage.set_trial_intermediate_value(trial_id, step, value)
            if past.state in OPTUNA_STATES:
                self.storage.set_trial_state_values(trial_id, frozen.state, frozen.values)
        self._written[name][past.number] = (trial_id, past)


def _name_objectives(study: Study, names: list[str]) -> None:
    with warnings.catch_warnings():  # its interface may change, says Optuna; our tests would notice
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(names)


@contextmanager
def open_mirror(path: Path) -> Iterator[Mirror]:
    """Open a mirror in a file, in place of an earlier one.

    Raises:
        InputError: another process has it open.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path.with_suffix(".open"), blocking=False):
            path.unlink(missing_ok=True)
            yield Mirror(JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path)))))
    except Timeout:
        raise InputError(f"a dashboard of this study is open already: it writes {path}") from None


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print no line for each request."""


@contextmanager
def serve(mirror: Mirror, port: int) -> Iterator[str]:
    """Serve optuna-dashboard of a mirror on this machine, and yield its address.

    Args:
        port: 0 for a free one.

    Raises:
        InputError: the port is in use.
    """
    app = optuna_dashboard.wsgi(mirror.storage)
    try:
        server = make_server(LOOPBACK, port, app, server_class=_Server, handler_class=_QuietHandler)
    except OSError as error:
        raise InputError(f"--port = {port}: cannot be listened on: {error.strerror}") from error
    with server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}"
        finally:
            server.shutdown()
