"""The command that shows every trial with its state, then what the rest will cost."""

import json
from typing import Annotated, TypedDict

import typer

from revit.datasets.registry import caveats
from study import api
from study.cli.console import echo, out
from study.cli.invocation import next_command
from study.cli.options import (
    MaxSeeds,
    StudyOptions,
    UntilDecided,
    check_until_decided,
    echo_store,
    with_study_options,
)


class Devices(TypedDict):
    """Devices that a forecast is for."""

    gpu: str | None
    num_gpus: int | None
    price_per_hour: float | None


@with_study_options
def plan(
    context: typer.Context,
    options: StudyOptions,
    gpu: Annotated[
        str | None, typer.Option(metavar="NAME", help="Plan for this GPU, as h100, a100, l40s, rtx4090.")
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Plan for so many GPUs, a trial on each.")
    ] = None,
    price_per_hour: Annotated[
        float | None, typer.Option(min=0, metavar="X", help="Price of a GPU for an hour.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what it costs as JSON.")] = False,
    until_decided: UntilDecided = False,
    max_seeds: MaxSeeds = None,
) -> None:
    """Show the trials of a study, their states, what the rest costs.

    Trains nothing. Times are measured in earlier trials or rehearsals, else assumed for the device: this machine's, or
    a GPU that is named. docs/plan.md has the JSON.
    """
    check_until_decided(options, max_seeds, until_decided=until_decided)
    folders = options.folders()
    spaces = options.load_studies()
    designs = api.choose_designs(spaces, folders, max_seeds) if until_decided else {}
    if not as_json:
        echo_store(folders)
    from study.report.caveats import plan_caveats
    from study.report.forecast_tables import forecast_tables
    from study.report.terminal_tables import plan_table, preview_table, searches_table

    ledger = api.open_ledger(folders) if folders.has_store else None
    records = {} if ledger is None else ledger.trials()
    studies = []
    for space in spaces:
        missing = api.find_missing(space, folders)
        planned = (
            None
            if missing
            else api.plan_study(
                space, folders, records, num_seeds=options.seeds, ledger=ledger, design=designs.get(space.name)
            )
        )
        studies.append((space, planned, [requirement.name for requirement in missing]))
        if as_json:
            continue
        if planned is None:
            trials = api.preview_study(space, options.seeds)
            out.print(preview_table(space, trials))
            num_searched = api.count_trials(space, options.seeds) - len(trials)
            searched = f" and {num_searched} of searches" if num_searched else ""
            echo(f"{len(trials)} trials{searched}; their states are unknown, as some of what they need is missing:")
            echo(*dict.fromkeys(f"  {requirement.name}: {requirement.advice}" for requirement in missing))
            echo(*caveats(dict.fromkeys(each.candidate.config.dataset for each in trials)))
            echo(f"get it with\n  {next_command(context, 'fetch')}")
            if space.base is None and space.scale == "paper":
                small = next_command(context, "plan", scale="nano")
                echo(f"or take small models and images, which are here, with\n  {small}")
            continue
        tables = [searches_table(planned)] if any(search.cell.axes for search in planned.searches) else []
        out.print(*tables, plan_table(planned))
        num_trials = len(planned.all_trials) + planned.num_unknown
        out.print(f"{num_trials} trials, {len(planned.to_run) + planned.num_unknown} to run")
        echo(*plan_caveats(planned), *([] if ledger is None else api.describe_missing_models(planned, ledger)))
    devices: Devices = {"gpu": gpu, "num_gpus": gpus, "price_per_hour": price_per_hour}
    forecast = api.forecast_studies(studies, folders, records, num_seeds=options.seeds, **devices)
    if as_json:
        print(json.dumps(forecast.to_json(), indent=1))
    elif forecast.total.trials:
        out.print()
        for each in forecast_tables(forecast):
            out.print(each)
    if designs and not as_json:
        whole, expected = api.plan_all_rounds(studies, folders, records, ledger, designs)
        most = api.forecast_studies(whole, folders, records, **devices)
        echo(f"if the next look decides all claims: {_describe(forecast)}")
        echo(f"if all looks are needed: {_describe(most)}", *expected)
    if not as_json and all(planned is not None for _, planned, _ in studies):
        following = ("rehearse", "run") if forecast.total.trials else ("report",)
        echo("\nNext steps:", *(f"  {next_command(context, command)}" for command in following))


def _describe(forecast: "api.Forecast") -> str:
    """Return trials, time and price of a forecast in a few words."""
    from study.report.forecast_tables import format_seconds

    total = forecast.total
    price = "" if total.price is None else f", price {total.price:,.2f}"
    return f"{total.trials:,} trials, {format_seconds(total.wall_seconds)}{price}"
