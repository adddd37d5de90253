"""The command that compares two versions of a study."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from revit.errors import InputError
from study import api
from study.cli.console import echo, out
from study.cli.invocation import next_command
from study.cli.options import StudyOptions, with_study_options


@with_study_options
def compare(
    context: typer.Context,
    options: StudyOptions,
    before: Annotated[
        str | None, typer.Option(metavar="DATE|RUN", help="With its results before this date or launch.")
    ] = None,
    other: Annotated[str | None, typer.Option(metavar="STUDY", help="With this study, of the same axes.")] = None,
    other_scale: Annotated[str | None, typer.Option(metavar="NAME", help="With another scale.")] = None,
    other_recipe: Annotated[str | None, typer.Option(metavar="NAME", help="With another recipe.")] = None,
    other_settings: Annotated[
        list[str] | None, typer.Option("--other-set", metavar="FIELD=VALUE", help="With these values in all trials.")
    ] = None,
    other_store: Annotated[str | None, typer.Option(metavar="ADDRESS", help="With another store.")] = None,
    reports: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to write to.")] = Path("reports"),
) -> None:
    """Compare two versions of a study, cell by cell.

    Shows both values, their difference with its interval and p (Holm), verdicts that changed, and settings that
    differ. Writes a page and JSON beside the study's report. The store is read only.
    """
    changes = {
        "study": other,
        "scale": other_scale,
        "recipe": other_recipe,
        "settings": other_settings,
        "store": other_store,
    }
    given: dict[str, Any] = {name: value for name, value in changes.items() if value}
    if not given and before is None:
        raise InputError("compare: name the other version by --before, or an option that begins with --other")
    others = replace(options, **given)
    versions = []
    for choices, time in ((others, before or ""), (options, "")):
        [space, *more] = choices.load_studies()
        if more:
            raise InputError(f"compare: {choices.study} is several studies: name one")
        label = _label(choices, space.tags, given, time)
        versions.append(api.read_version(label, space, choices.folders(), num_seeds=options.seeds, before=time))
    comparison = api.compare_versions(*versions)
    from study.report.comparison_page import comparison_table, to_lines

    out.print()
    out.print(comparison_table(comparison))
    echo(*to_lines(comparison))
    echo(*(f"wrote {path}" for path in api.write_comparison(comparison, reports)))
    echo("\nNext steps:", f"  {next_command(context, 'report')}")


def _label(options: StudyOptions, tags: Mapping[str, str], names: Iterable[str], before: str) -> str:
    """Return the name of a version: what of it differs from the other."""
    settings = f"set {' '.join(options.settings)}" if options.settings else "its own settings"
    texts = {"store": f"store {options.store}", "settings": settings, **{key: f"{key} {tags[key]}" for key in tags}}
    parts = [texts[name] for name in names if name in texts]
    return ", ".join([*parts, *([f"before {before}"] if before else [])]) or "now"
