"""The commands on a store: doctor, prune, ui."""

import os
import socket
from typing import Annotated

import typer

import search_spaces
from revit.errors import InputError
from study import api
from study.cli.console import EXIT_FINISHED, EXIT_SOME_FAILED, echo
from study.cli.invocation import this_command
from study.cli.options import (
    CacheFolder,
    DataFolder,
    RecipeName,
    ScaleName,
    Settings,
    StorageAddress,
    StoreAddress,
    WeightsFolder,
    echo_store,
)
from study.layout import UI_HOST, UI_PORT

QUIET = {"PYTHONWARNINGS": "ignore", "MLFLOW_LOGGING_LEVEL": "WARNING"}
"""Variables of MLflow's server: warnings of its libraries would hide the address."""


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Repair what is marked fixable.")] = False,
    store: StoreAddress = api.DEFAULT_STORE,
    data_dir: DataFolder = api.DEFAULT_DATA,
    weights_dir: WeightsFolder = None,
    cache_dir: CacheFolder = api.DEFAULT_CACHE,
    storage: StorageAddress = None,
) -> None:
    """Check the store, the input files, and this machine.

    Shows a line per check, and changes nothing without --fix.

    Exit code: 0 healthy, 1 problems found: --fix repairs those marked fixable.
    """
    folders = api.make_folders(store, data_dir, weights_dir, cache_dir, storage=storage)
    echo_store(folders)
    code = EXIT_FINISHED
    for result in api.diagnose(folders, fix=fix):
        echo(f"{result.level:<7}  {result.text}")
        code = code if result.is_healthy else EXIT_SOME_FAILED
    raise typer.Exit(code)


def prune(
    context: typer.Context,
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY]...",
            autocompletion=lambda: [*search_spaces.names(), *search_spaces.folders(), api.ALL],
            help="Only these studies, by name, file or folder; `all`.",
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            metavar="STUDY",
            autocompletion=search_spaces.names,
            help="Also all models of this study: `run` does not make them again.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it instead of only showing it.")] = False,
    store: StoreAddress = api.DEFAULT_STORE,
    storage: StorageAddress = None,
) -> None:
    """Show what can be removed from the store; --yes removes it.

    These are checkpoints of completed trials, models that no study keeps, superseded models and reports, and runs
    deleted in MLflow. Results stay, and so does anything that a running process uses.
    """
    folders = api.make_folders(store, storage=storage)
    if folders.server:
        raise InputError(f"--store = {store}: prune needs the folder of a store, not a server")
    names = sorted({space.name for study in studies or () for space in api.load_studies(study)})
    echo_store(folders)
    ledger = api.open_ledger(folders)
    found = api.find_prunable(ledger, names, [search_spaces.name_of(each) for each in models or ()])
    echo(*api.summarize_prunable(found))
    if yes:
        api.remove(ledger, found)
        echo("removed")
    elif found:
        echo(f"remove it with\n  {this_command(context, '--yes')}")


def ui(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]",
            autocompletion=search_spaces.names,
            help="Show this study: cells of its tested trials, the best first.",
        ),
    ] = None,
    scale: ScaleName = None,
    recipe: RecipeName = None,
    settings: Settings = None,
    store: StoreAddress = api.DEFAULT_STORE,
    port: Annotated[int, typer.Option(metavar="N", min=1, max=65535, help="Port to listen on.")] = UI_PORT,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; any but the default is open to others.")
    ] = UI_HOST,
) -> None:
    """Serve MLflow's UI on the results, until Ctrl-C.

    It is at http://127.0.0.1:PORT. For a server, only its address is printed.
    """
    folders = api.make_folders(store)
    echo_store(folders)
    ledger = api.open_ledger(folders)
    spaces = api.load_studies(study, scale=scale, recipe=recipe, settings=settings or ()) if study else [None]
    paths = [api.ui_path(ledger, space) for space in spaces]
    if folders.server:
        echo(*(f"{folders.server}{path}" for path in paths))
        return
    _check_free(host, port)
    if host != UI_HOST:
        echo(f"warning: whoever reaches {host}:{port} can read, change and delete every result")
    echo(*(f"http://{host}:{port}{path}   (in some seconds; Ctrl-C ends it)" for path in paths))
    command = api.ui_command(folders, host, port)
    os.execve(command[0], command, {**QUIET, **os.environ})


def _check_free(host: str, port: int) -> None:
    """Raise InputError if a port is in use."""
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise InputError(f"--host = {host}, --port = {port}: cannot be listened on: {error.strerror}") from error
