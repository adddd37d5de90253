"""The command that exports a trained model."""

from pathlib import Path
from typing import Annotated

import typer

from revit.errors import InputError
from study import api
from study.cli.console import echo
from study.cli.options import StudyOptions, echo_store, with_study_options


@with_study_options
def export(
    _: typer.Context,
    options: StudyOptions,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Folder to write: new, or an earlier export.")],
    cell: Annotated[
        str, typer.Option("--cell", metavar="AXIS=VALUE,...", help="The cell; not needed where there is one.")
    ] = "",
    seed: Annotated[
        str | None,
        typer.Option("--seed", metavar="N|best", help="best: on validation images. [default: first that was kept]"),
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write model.onnx, too.")] = False,
    register: Annotated[
        str | None, typer.Option("--register", metavar="NAME", help="Add it to MLflow by this name.")
    ] = None,
) -> None:
    """Write a trained model for timm, transformers, torch.

    The folder holds the weights that were tested, the preprocessing, and a model card. Nothing is trained.
    """
    [space, *more] = options.load_studies()
    if more:
        raise InputError(f"export: {options.study} is several studies: name one")
    folders = options.folders()
    echo_store(folders)
    ledger = api.open_ledger(folders)
    records = ledger.trials()
    planned = api.plan_study(space, folders, records, num_seeds=options.seeds, for_report=True, ledger=ledger)
    exported = api.export_model(
        api.measure_study(planned, ledger), ledger, to, cell=cell, seed=seed, onnx=onnx, register=register
    )
    echo(f"exported {exported.trial} to {exported.folder}")
    if not exported.is_for_timm:
        echo(f"timm and transformers cannot load it: they do not have {exported.model}")
    echo(*exported.lacking, *filter(None, [exported.registered]))
    echo(f"how to load it: {exported.card}")
