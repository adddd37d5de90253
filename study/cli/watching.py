"""The commands that follow a running study: watch, status."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from study import api
from study.cli.console import (
    EXIT_FINISHED,
    EXIT_INCOMPLETE,
    EXIT_INTERRUPTED,
    EXIT_RUNNING,
    EXIT_SOME_FAILED,
    echo,
    out,
)
from study.cli.invocation import next_command
from study.cli.options import StudyOptions, echo_store, with_study_options

if TYPE_CHECKING:
    from search_spaces.framework.space import SearchSpace
    from study.live.ledger_feed import LedgerFeed
    from study.live.study_state import Phase, StudyState

EXIT_CODES = {
    "finished": EXIT_FINISHED,
    "failed": EXIT_SOME_FAILED,
    "running": EXIT_RUNNING,
    "incomplete": EXIT_INCOMPLETE,
}
"""Exit code of each phase of a study."""


@with_study_options
def watch(context: typer.Context, options: StudyOptions) -> None:
    """Follow a running study from another terminal or machine.

    It reads the store, and changes nothing. It ends when the study ends; Ctrl-C ends only this view.

    Exit code: that of `status`, or 130 after Ctrl-C.
    """
    folders, spaces = options.folders(), options.load_studies()
    echo_store(folders)
    try:
        _, feed, ledger = _open(context, options, folders, spaces)
        state = api.watch(feed, ledger, out)
    except KeyboardInterrupt:
        echo(f"\nthe study is not stopped; watch it again with\n  {next_command(context, 'watch')}")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _show(state)
    raise typer.Exit(EXIT_CODES[state.phase])


@with_study_options
def status(
    context: typer.Context,
    options: StudyOptions,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON (docs/status.md), and nothing else.")] = False,
) -> None:
    """Show how far a study is, and the time that is left.

    Exit code: 0 finished, 1 some trials failed and nothing runs, 2 wrong input, 3 running, 4 trials are left and
    nothing runs.
    """
    folders, spaces = options.folders(), options.load_studies()
    if not as_json:
        echo_store(folders)
    plans, feed, ledger = _open(context, options, folders, spaces)
    state = api.current_state(feed)
    if as_json:
        print(json.dumps(state.to_json(), indent=1))
    else:
        _show(state)
        echo(*(line for planned in plans for line in api.describe_missing_models(planned, ledger)))
    raise typer.Exit(EXIT_CODES[state.phase])


def _open(
    context: typer.Context, options: StudyOptions, folders: "api.Folders", spaces: "Sequence[SearchSpace]"
) -> "tuple[list[api.Plan], LedgerFeed, api.Ledger]":
    ledger = api.open_ledger(folders)
    records = ledger.trials()
    plans = [
        api.plan_study(space, folders, records, num_seeds=options.seeds, for_report=True, ledger=ledger)
        for space in spaces
    ]
    return plans, api.open_feed(plans, ledger, records, _next_steps(context)), ledger


def _next_steps(context: typer.Context) -> "dict[Phase, str]":
    from study.live.study_state import Phase

    run = next_command(context, "run")
    return {
        Phase.FINISHED: next_command(context, "report"),
        Phase.RUNNING: "Ctrl-C ends this view only"
        if context.command.name == "watch"
        else next_command(context, "watch"),
        Phase.FAILED: f"{run}   (trains the failed trials again)",
        Phase.INCOMPLETE: f"{run}   (resumes)",
    }


def _show(state: "StudyState") -> None:
    from study.live.view import StudyView

    out.print(StudyView(state), highlight=False)
