"""Published numbers from elsewhere that no cell of a study's table shows, as their experiments differ from its own."""

from search_spaces.framework.published import Published
from search_spaces.framework.space import SearchSpace
from study.report.axis_words import axis_titles, name_of_value, value_of_axis


def other_rows(space: SearchSpace) -> list[Published]:
    """Return the published results of a study's table that are from elsewhere and beside none of its cells.

    They are accuracies, and shown where the study is about an accuracy, on a further test set or on its own.
    """
    is_accuracy = space.metric.partition("@")[0] == "accuracy"
    if space.reproduced is None or space.table is None or not is_accuracy or space.cells:
        return []
    shown = {row for candidate in space.candidates(space.seeds[:1]) for row in space.published(candidate)}
    return [
        row for row in space.reproduced.rows_of(space.table) if row.source and row.epoch is None and row not in shown
    ]


def other_lines(space: SearchSpace) -> list[str]:
    """Return a line for each of `other_rows`: dataset, model, where it departs, what the study compares, its number."""
    return [_line(row, space) for row in other_rows(space)]


def _line(row: Published, space: SearchSpace) -> str:
    cells = [each.requested_values for each in space.candidates(space.seeds[:1])]
    configs = [{**space.paper_config(cell).flat(), **cell} for cell in cells]
    departs = [axis for axis, value in row.point.items() if all(config.get(axis) != value for config in configs)]
    named = dict.fromkeys(("dataset", "model.name", *departs, *space.scientific))
    axes = [axis for axis in named if axis in row.point]
    titles = axis_titles(axes)
    words = [
        name_of_value(axis, row.point[axis]) or f"{titles[axis]} {value_of_axis(axis, row.point[axis])}"
        for axis in axes
    ]
    return f"{', '.join(words)}: {row.value:.2f} ({'; '.join(filter(None, [row.source, row.note]))})"
