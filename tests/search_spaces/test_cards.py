"""Experiment cards: each study's docstring states its command, trials, cost, downloads, result.

Trials and costs of searches count, as if every point were trained to its end.
"""

import functools
import re
import sys
from pathlib import Path

import pytest

import search_spaces
from revit.datasets.registry import DATASETS
from revit.models.cost import forward_gflops
from revit.models.weights import hub_repo
from search_spaces.framework.space import SearchSpace
from study.plan import TrialPreview, preview, stated_steps
from tests.identities import identity_of

ROOT = Path(__file__).parents[2]
RECORDED = "".join((ROOT / name).read_text() for name in ("README.md", "docs/search.md"))
"""Pages with results of studies."""
PASSES = 3
"""FLOPs of a training step over those of its forward pass: docs/models.md."""

gflops = functools.cache(forward_gflops)


def card_of(name: str) -> dict[str, str]:
    """Return the entries of a study's card by their names; continued lines are joined."""
    search_spaces.load(name)
    module = ".".join(search_spaces.file_of(name).relative_to(ROOT).with_suffix("").parts)
    text = sys.modules[module].__doc__ or ""
    entries = re.findall(r"^(\w+): +(.*(?:\n +.*)*)", text, flags=re.MULTILINE)
    return {key: " ".join(value.split()) for key, value in entries}


def distinct_trials(space: SearchSpace) -> list[TrialPreview]:
    """Return the tested trials of a space that differ in their identity; by any point of each cell."""
    by_identity = {}
    for each in preview(space, space.seeds):
        config = each.candidate.config
        num_all = round((1 - config.val_fraction) * DATASETS[config.dataset].num_train)
        num_used = round(config.data_fraction * num_all)
        digests = {"data": config.dataset, "splits": str(num_used), "weights": config.model.name}
        by_identity[identity_of(config, num_used, num_all, **digests)] = each
    return list(by_identity.values())


def search_trials(space: SearchSpace) -> list[TrialPreview]:
    """Return the trials of all searches of a space; by the first point of each cell."""
    seeds, trials = space.search.seeds, []
    for cell in space.list_cells() if space.is_searched else []:
        first = space.search_candidate(cell, cell.first_point, seeds[0])
        count = len(seeds) * space.num_points(cell) if cell.axes else 0
        trials += count * [TrialPreview(candidate=first, num_steps=stated_steps(first.config))]
    return trials


def cost_of(space: SearchSpace) -> str:
    """Return optimizer steps and training FLOPs of the distinct trials and of searches, as cards have them."""
    num_steps, total_gflops = 0, 0.0
    for trial in [*distinct_trials(space), *search_trials(space)]:
        config = trial.candidate.config
        num_steps += trial.num_steps
        per_image = PASSES * gflops(config.model.name, config.resolution)
        total_gflops += per_image * config.batch_size * trial.num_steps
    return f"{num_steps:,} steps, {1e9 * total_gflops:.2e} FLOPs".replace("e+", "e")


def downloads_of(space: SearchSpace) -> list[str]:
    """Return the datasets and pretrained weights of a space that come with no installed package."""
    configs = [each.config for each in space.candidates(space.seeds[:1])]
    datasets = [DATASETS[name] for name in dict.fromkeys(config.dataset for config in configs)]
    remote = [dataset.name for dataset in datasets if dataset.files or dataset.hub or dataset.page]
    models = dict.fromkeys(config.model.name for config in configs if config.model.pretrained)
    return remote + [name for name in models if hub_repo(name) is not None]


def scales_of(name: str) -> tuple[SearchSpace, SearchSpace | None]:
    """Return a study at the paper's scale, and at the nano scale if it has one."""
    space = search_spaces.load(name)
    return space, None if space.base is not None else space.variant(scale="nano")


@pytest.mark.parametrize("name", search_spaces.names())
def test_a_card_has_all_entries_and_the_command(name: str) -> None:
    card = card_of(name)
    assert {"Run", "Trials", "Cost", "Needs", "Result"} <= card.keys()
    command = f"python run_study.py run {name}"
    assert card["Run"] == (command if scales_of(name)[1] is None else f"{command} --scale nano")


@pytest.mark.parametrize("name", search_spaces.names())
def test_a_card_counts_the_trials_of_every_scale(name: str) -> None:
    pattern = r"= (\d+)(?:, of which (\d+) are shared)?(?:, and (\d+) searches x (\d+) points = (\d+))?$"
    stated = re.search(pattern, card_of(name)["Trials"])
    assert stated is not None
    count, num_shared, num_searches, num_points, num_searched = (int(number or 0) for number in stated.groups())
    assert num_searches * num_points == num_searched
    for space in scales_of(name):
        if space is not None:
            assert len(space.candidates(space.seeds)) == count
            assert len(distinct_trials(space)) == count - num_shared
            searched = [cell for cell in space.list_cells() if cell.axes]
            assert len(searched) == num_searches
            assert {space.num_points(cell) for cell in searched} <= {num_points}
            assert len(search_trials(space)) == num_searched


@pytest.mark.parametrize("name", search_spaces.names())
def test_a_card_states_the_cost_of_every_scale(name: str) -> None:
    space, nano = scales_of(name)
    assert card_of(name)["Cost"] == cost_of(space) + ("" if nano is None else f" (nano: {cost_of(nano)})")


@pytest.mark.parametrize("name", search_spaces.names())
def test_a_card_lists_the_downloads(name: str) -> None:
    space, nano = scales_of(name)
    assert nano is None or downloads_of(nano) == []
    needs = ", ".join(downloads_of(space)) or "nothing"
    assert card_of(name)["Needs"] == needs + ("" if nano is None else " (nano: nothing)")


@pytest.mark.parametrize("name", search_spaces.names())
def test_a_result_on_a_card_is_recorded_or_published(name: str) -> None:
    space, _ = scales_of(name)
    result = card_of(name)["Result"]
    stated = [float(number) for number in re.findall(r"(\d+\.\d+) %", result)]
    if space.base is not None:
        assert stated
        assert all(f" {number:.2f} │" in RECORDED for number in stated)
        return
    assert result.startswith("not run at paper scale yet")
    known = set() if space.reproduced is None else {row.value for row in space.reproduced.rows_of(space.table)}
    assert bool(stated) is bool(known)
    assert set(stated) <= known
