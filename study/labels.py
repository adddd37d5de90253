"""What cells and trials are called where people read them: `optimizer=sgd lr=0.1 seed=0`."""

from collections.abc import Mapping, Sequence

from study.plan import Trial


def short_names(axes: Sequence[str]) -> list[str]:
    """Return what axes are called: the last part of their paths, or all of it where two would have one name.

    A path that ends in `.name` is called by what it names: `optimizer.name` is `optimizer`.
    """
    short = [axis.removesuffix(".name").split(".")[-1] for axis in axes]
    return [name if short.count(name) == 1 else axis for axis, name in zip(axes, short, strict=True)]


def label(values: Mapping[str, object]) -> str:
    """Return one name for a value on each of several axes: `optimizer=sgd lr=0.1`."""
    names = short_names(list(values))
    return " ".join(f"{name}={value}" for name, value in zip(names, values.values(), strict=True))


def cell_label(trial: Trial) -> str:
    """Return what the cell of a trial is called."""
    return label(trial.candidate.cell)


def trial_label(trial: Trial) -> str:
    """Return what a trial is called: its value on every axis, and its seed."""
    return label({**trial.candidate.point, "seed": trial.candidate.config.seed})
