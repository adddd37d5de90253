"""The command that verifies a study."""

from pathlib import Path
from typing import Annotated

import typer

from study import api
from study.cli.console import EXIT_FINISHED, EXIT_SOME_FAILED, echo
from study.cli.options import StudyOptions, echo_store, with_study_options


@with_study_options
def verify(
    context: typer.Context,  # noqa: ARG001  # of every command with these options
    options: StudyOptions,
    reports: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the reports.")] = Path("reports"),
) -> None:
    """Check every digest of a study; show what disagrees.

    Checked are the records that its launches registered, their manifests, the results of its trials by their
    predictions, and its report.

    Exit code: 0 all agrees, 1 something does not: a line for each, 2 wrong input.
    """
    folders = options.folders()
    spaces = options.load_studies()
    echo_store(folders)
    ledger = api.open_ledger(folders)
    records = ledger.trials()
    code = EXIT_FINISHED
    for space in spaces:
        planned = api.plan_study(space, folders, records, num_seeds=options.seeds, for_report=True, ledger=ledger)
        history = api.read_history(planned, ledger, records)
        found = list(api.verify_study(planned, ledger, records, history, reports))
        summary = api.compare_registration(planned, history).summary
        echo(f"{space.name}: {summary}", *found)
        if found:
            code = EXIT_SOME_FAILED
            echo(f"{space.name}: {len(found)} disagreements" if len(found) > 1 else f"{space.name}: 1 disagreement")
        else:
            echo(f"{space.name}: all agrees")
    raise typer.Exit(code)
