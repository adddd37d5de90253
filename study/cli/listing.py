"""The commands that show what there is: studies and models."""

from rich.table import Table
from rich.text import Text

import search_spaces
from revit.architectures import MODELS
from revit.errors import InputError
from study.cli.console import out


def list_studies() -> None:
    """Show the studies there are: name, number of trials, question."""
    table = Table(box=None, pad_edge=False)
    for heading in ("study", "trials", "question"):
        table.add_column(heading)
    for name in search_spaces.names():
        try:
            space = search_spaces.load(name)
            table.add_row(name, str(len(space.candidates(space.seeds[:1])) * len(space.seeds)), space.question)
        except InputError as error:
            table.add_row(name, "-", Text(str(error), style="red"))
    out.print(table)


def models() -> None:
    """Show the models there are; any other timm classification model goes by its timm name."""
    table = Table()
    for heading in ("model", "what", "px", "parameters", "licence", "source"):
        table.add_column(heading, overflow="fold")
    for spec in MODELS.values():
        size = f"{spec.num_params / 1e6:.2f} M"
        table.add_row(spec.name, spec.title, str(spec.resolution), size, spec.licence, spec.source)
    out.print(table)
