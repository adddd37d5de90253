"""The command that merges another store into this one."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Annotated

import typer
from rich.progress import track

from study import api
from study.cli.console import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_SOME_FAILED, echo, out
from study.cli.invocation import this_command
from study.cli.options import StoreAddress, echo_store


def merge(
    context: typer.Context,
    other_store: Annotated[str, typer.Argument(metavar="OTHER_STORE", help="Folder or server; it is only read.")],
    yes: Annotated[bool, typer.Option("--yes", help="Take them instead of only showing them.")] = False,
    store: StoreAddress = api.DEFAULT_STORE,
) -> None:
    """Show what another store has and this one lacks; --yes takes it.

    A trial that ended in the other store is taken with its metrics, files, tags and launch, unless it ended here. One
    that ended in both must have equal results, or is named. The same command resumes.

    Exit code: 0 all agrees, 1 some trials differ or cannot be taken, 2 wrong input, 130 interrupted.
    """
    try:
        code = _merge(context, api.make_folders(other_store), api.make_folders(store), yes=yes)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
        echo(f"\ninterrupted; resume with\n  {this_command(context)}")
    raise typer.Exit(code)


def _merge(context: typer.Context, other: "api.Folders", folders: "api.Folders", *, yes: bool) -> int:
    """Show what can be taken, and take it if that is wanted; return the exit code."""
    echo_store(folders)
    with api.open_other_store(other, folders) as opened:
        echo(f"other: {opened.address}")
        ledger = api.open_ledger(folders, create=yes) if yes or folders.has_store else None
        found = api.find_mergeable(opened, ledger)
        echo(*api.summarize_mergeable(found))
        if found.disagreements:
            _print_differences(found)
        code = EXIT_FINISHED if found.agrees else EXIT_SOME_FAILED
        if found.is_empty:
            echo("nothing to take")
        elif not yes or ledger is None:
            echo(f"take it with\n  {this_command(context, '--yes')}")
        else:
            with closing(api.take_mergeable(found, opened, ledger, command=this_command(context), log=echo)) as taking:
                num_left = _count_left(taking, len(found.to_take))
            echo(f"taken: {len(found.to_take) - num_left:,} trials")
            if num_left:
                echo(f"{num_left:,} trials are trained by a launch: repeat the command when it has ended")
                code = EXIT_SOME_FAILED
    return code


def _count_left(taking: "Iterator[bool]", total: int) -> int:
    """Take all trials with a progress bar, and return how many are not here."""
    shown = track(taking, "taking", total, console=out, transient=True, disable=not out.is_terminal)
    return sum(not is_here for is_here in shown)


def _environment(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in tags.items())


def _print_differences(found: "api.Merge") -> None:
    from study.report.fitted_table import FittedTable

    headings = ["trial", "point", "seed", "value", "here", "there", "trained here on", "trained there on"]
    rows = [
        [
            each.here.identity,
            each.point,
            each.here.tags.get("seed", ""),
            difference.name,
            difference.here,
            difference.there,
            *(_environment(record.environment) for record in (each.here, each.there)),
        ]
        for each in found.disagreements
        for difference in each.differences
    ]
    out.print(FittedTable(headings, rows, title="Trials that differ", spare=["seed", "point"]))
