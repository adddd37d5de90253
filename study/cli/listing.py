"""The commands that list studies, models, axes."""

import textwrap
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

import search_spaces
from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.fields import list_fields
from revit.models.architectures import MODELS
from study import api
from study.cli.console import echo, out
from study.report.fitted_table import FittedTable


def list_studies(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY]...",
            autocompletion=search_spaces.names,
            help="Names or files of studies. [default: those of search_spaces/]",
        ),
    ] = None,
) -> None:
    """Show studies: name, number of trials, question.

    Trials of searches are counted as if none were given up.
    """
    table = Table("study", "trials", "question", box=None, pad_edge=False)
    for name in studies or search_spaces.names():
        try:
            for space in api.load_studies(name):
                table.add_row(space.name, str(api.count_trials(space)), space.question)
        except InputError as error:
            table.add_row(name, "-", Text(str(error), style="red"))
    out.print(table)


def axes(
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="Show only axes whose path or meaning has this text.")
    ] = None,
) -> None:
    """Show the axes of studies: path, type, default, meaning.

    An axis is a field of a trial's config. The defaults apply to a study with its own config (`base=`); a recipe has
    its own, see docs/recipes.md. The seed is not an axis.
    """
    width = min(out.width, 100)
    for each in list_fields(FineTuneConfig):
        if each.path != "seed" and (text or "").lower() in f"{each.path} {each.meaning}".lower():
            echo(f"{each.path}: {each.kind}" + (f" [default: {each.default}]" if each.default else ""))
            echo(textwrap.fill(each.meaning, width, initial_indent="    ", subsequent_indent="    "))


def models() -> None:
    """Show the models; timm's other classifiers work, too."""
    headings = ("model", "what", "px", "parameters", "license", "source")
    rows = [
        (spec.name, spec.title, str(spec.resolution), f"{spec.num_params / 1e6:.2f} M", spec.license, spec.source)
        for spec in MODELS.values()
    ]
    out.print(FittedTable(headings, rows, spare=("source", "license")))
