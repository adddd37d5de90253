"""The command that predicts image files."""

import csv
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.progress import track

from revit.errors import InputError
from study import api
from study.cli.console import EXIT_FINISHED, EXIT_SOME_FAILED, echo, err, out

if TYPE_CHECKING:
    from study.export.image_predictions import FilePrediction

HEADER = ("file", "class", "probability")


def predict(
    model: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `export` wrote.")],
    images: Annotated[list[Path], typer.Argument(metavar="FOLDER|FILE", help="Images, or folders of images.")],
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to this file. [default: standard output]")
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="cpu|cuda", help="Where to predict. [default: cuda where there is a GPU]")
    ] = None,
) -> None:
    """Predict the classes of images by an exported model.

    Writes a CSV: file, class, probability. Images are prepared as the test images of the trial; folders are searched
    whole. Images that cannot be decoded are listed at the end, and are not in the CSV.

    Exit code: 0 all predicted, 1 some cannot be decoded, 2 wrong input.
    """
    files = api.find_images(images)
    predictions = api.predict_files(api.load_exported(model, device), files)
    has_bar = err.is_terminal and (to is not None or not out.is_terminal)
    shown = track(predictions, "predicting", len(files), console=err, transient=True, disable=not has_bar)
    with _opened(to) as file:
        broken = _write(file, shown)
    for each in broken:
        err.print(each.problem)
    num_written = len(files) - len(broken)
    if broken:
        err.print(f"{num_written} of {len(files)} images predicted; {len(broken)} cannot be decoded")
    if to is not None:
        echo(f"wrote {to}: {num_written} images" if num_written != 1 else f"wrote {to}: 1 image")
    raise typer.Exit(EXIT_SOME_FAILED if broken else EXIT_FINISHED)


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """Open a file to write, which takes its name once it is whole; without a path, standard output.

    File names that are not valid text keep their bytes.
    """
    if path is None:
        yield sys.stdout
        return
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("w", newline="", errors="surrogateescape") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise InputError(f"--to = {path}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _write(file: TextIO, predictions: "Iterable[FilePrediction]") -> "list[FilePrediction]":
    """Write a row per image as it is predicted; return the images that cannot be decoded."""
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(HEADER)
    broken = []
    for each in predictions:
        if each.problem:
            broken.append(each)
        else:
            rows.writerow((each.file, each.class_name, f"{each.probability:.6f}"))
    return broken
