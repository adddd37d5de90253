"""Figures against the arrays that went in: what is drawn is what was given, whole, and nothing else."""

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from study.report import plots
from study.report.plots import style
from study.report.plots.answers import most_confident_mistakes
from study.report.plots.authors import authors_curves
from study.report.plots.cells import pareto_front
from study.report.plots.curves import seed_bands, thinned
from study.report.plots.mosaic import mosaic, thumbnail
from study.report.plots.style import plain

NASTY = "<b>x</b> & %{y}"


def pixels_of(trace: Any) -> np.ndarray:
    """The PNG inside an image trace."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(trace.source.split(",")[1]))).convert("RGBA"))


def curves(num_cells: int, num_seeds: int, num_steps: int, metric: str = "val_accuracy") -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        (f"cell {cell}", seed, step, rng.uniform())
        for cell in range(num_cells)
        for seed in range(num_seeds)
        for step in range(num_steps)
    ]
    return pd.DataFrame(rows, columns=["cell", "seed", "step", metric])


def test_a_band_is_the_mean_and_range_over_seeds() -> None:
    frame = curves(3, 4, 5)
    frame.loc[0, "val_accuracy"] = np.nan
    for band in seed_bands(frame, "step", "val_accuracy").itertuples():
        values = frame[(frame["cell"] == band.cell) & (frame["step"] == band.step)]["val_accuracy"].dropna()
        expected = (values.mean(), values.min(), values.max())
        assert (band.mean, band.min, band.max) == pytest.approx(expected)


def test_a_learning_curve_draws_each_cells_mean_in_percent() -> None:
    frame = curves(3, 4, 5)
    figure = plots.learning_curves(frame, "val_accuracy")
    means = frame.groupby(["cell", "step"])["val_accuracy"].mean()
    for cell in ("cell 0", "cell 1", "cell 2"):
        expected = 100 * means[cell].to_numpy()
        assert any(
            trace.name == cell and len(trace.y) == 5 and np.allclose(trace.y, expected, rtol=1e-5)
            for trace in figure.data
        )


def test_thinning_keeps_the_ends() -> None:
    line = pd.DataFrame({"step": range(1000)})
    kept = thinned(line, 50)
    assert len(kept) <= 50
    assert kept["step"].iloc[0] == 0
    assert kept["step"].iloc[-1] == 999
    assert thinned(line, 5000).equals(line)


def test_the_pareto_front_is_that_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    cost, accuracy = rng.integers(1, 9, 60).astype(float), rng.integers(1, 9, 60).astype(float)
    front = pareto_front(cost, accuracy)
    points = set(zip(cost, accuracy, strict=True))
    best = {(c, a) for c, a in points if not any((oc <= c and oa > a) or (oc < c and oa >= a) for oc, oa in points)}
    assert {(cost[index], accuracy[index]) for index in front} == best
    assert list(cost[front]) == sorted(cost[front])


def test_published_points_are_hollow_and_say_whose_they_are() -> None:
    frame = pd.DataFrame(
        {
            "resolution": [64, 224, 64, 224],
            "series": ["cifar100"] * 4,
            "mean": [0.5, 0.9, 0.48, 0.91],
            "low": [0.4, 0.8, np.nan, np.nan],
            "high": [0.6, 0.95, np.nan, np.nan],
            "published": [False, False, True, True],
            "source": ["ours", "ours", "paper", "paper"],
        }
    )
    ours, theirs = plots.accuracy_over(frame, "resolution").data
    assert np.allclose(ours.y, [50, 90])
    assert np.allclose(ours.error_y.array, [10, 5])
    assert np.allclose(ours.error_y.arrayminus, [10, 10])
    assert theirs.marker.symbol.endswith("-open")
    assert not ours.marker.symbol.endswith("-open")
    assert set(theirs.text) == {"paper"}
    assert np.allclose(theirs.y, [48, 91])


def test_every_tile_of_a_mosaic_is_whole_and_in_its_place() -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 3), dtype=np.uint8)
    picture = mosaic(tiles, 3, gap=2)
    assert picture.shape == (3 * 6 - 2, 3 * 7 - 2, 4)
    for index, tile in enumerate(tiles):
        top, left = index // 3 * 6, index % 3 * 7
        assert (picture[top : top + 4, left : left + 5, :3] == tile).all()
        assert (picture[top : top + 4, left : left + 5, 3] == 255).all()
    assert (picture[4:6, :, 3] == 0).all(), "gaps are see-through"


def test_filters_are_drawn_pixel_by_pixel() -> None:
    filters = np.random.default_rng(0).random((16, 4, 4, 3), dtype=np.float32)
    [trace] = [trace for trace in plots.filters({"learned": filters}).data if trace.type == "image"]
    drawn = pixels_of(trace)
    expected = (filters * 255).round().astype(np.uint8)
    opaque = drawn[drawn[..., 3] == 255][:, :3]
    assert opaque.shape == (16 * 4 * 4, 3)
    assert np.abs(drawn[:4, :4, :3].astype(int) - expected[0]).max() <= 1


def test_similarity_shows_every_map_in_its_place() -> None:
    maps = np.zeros((3, 3, 3, 3), np.float32)
    for row in range(3):
        for column in range(3):
            maps[row, column, row, column] = 1
    drawn = pixels_of(next(trace for trace in plots.similarity(maps).data if trace.type == "image"))
    warm = (drawn[..., 3] == 255) & (drawn[..., 0] < 150) & (drawn[..., 2] < 80)
    places = {(int(y), int(x)) for y, x in zip(*np.nonzero(warm), strict=True)}
    assert places == {(row * 4 + row, column * 4 + column) for row in range(3) for column in range(3)}


def test_attention_has_a_tile_for_every_layer_and_head() -> None:
    maps = np.full((3, 2, 17, 17), 1 / 17, np.float32)
    image = np.full((8, 8, 1), 200, np.uint8)
    figure = plots.attention(maps, image)
    lit = pixels_of(figure.data[1])
    side = (lit.shape[0] - 2 * 2) // 3
    assert lit.shape == (3 * side + 2 * 2, 2 * side + 2, 4)
    assert (lit[lit[..., 3] == 255][:, :3] == 200).all(), "even attention leaves the image as it is"


def test_attention_is_the_class_tokens_or_the_mean_of_all() -> None:
    maps = np.zeros((1, 1, 5, 5), np.float32)
    maps[0, 0, 0, 2] = 1  # the class token looks at the second patch
    maps[0, 0, 1:, 4] = 1  # all others look at the last
    image = np.full((2, 2, 3), 100, np.uint8)
    lit = pixels_of(plots.attention(maps, image).data[1])[..., 0]
    half = len(lit) // 2
    assert (lit[:half, half:] == 100).all()
    assert lit[half:, half:].max() < 20, "hardly visible"
    patches_only = pixels_of(plots.attention(maps[:, :, 1:, 1:], image, num_prefix=0).data[1])[..., 0]
    assert (patches_only[half:, half:] == 100).all()
    assert patches_only[:half].max() < 20


def test_a_trial_crosses_every_axis_at_its_setting() -> None:
    frame = pd.DataFrame(
        {
            "resolution": [512, 64, 224],
            "optimizer": ["sgd", "adam", "sgd"],
            "test_accuracy": [0.9, 0.1, 0.5],
        }
    )
    figure = plots.parallel_coordinates(frame, ["resolution", "optimizer"], "test_accuracy")
    lines = np.concatenate([trace.y.reshape(-1, 4)[:, :3] for trace in figure.data if len(trace.x) and trace.opacity])
    by_result = lines[lines[:, 2].argsort()]
    assert np.allclose(by_result[:, 2], [0, 0.5, 1])
    assert (np.diff(by_result[:, 0])[[0]] > 0.3).all(), "64 is below 224"
    assert (np.diff(by_result[:, 0])[[1]] > 0.3).all(), "224 is below 512"
    assert by_result[0, 1] < 0.2 or by_result[0, 1] > 0.8
    assert abs(by_result[1, 1] - by_result[2, 1]) < 0.1 < abs(by_result[0, 1] - by_result[1, 1])
    ticks = [trace.text for trace in figure.data if trace.mode == "text"]
    assert [set(text) for text in ticks[:2]] == [{"64", "224", "512"}, {"sgd", "adam"}]


def test_a_wide_axis_of_many_values_is_drawn_by_its_logarithm() -> None:
    rates = np.logspace(-5, -1, 30)
    frame = pd.DataFrame({"lr": rates, "test_accuracy": np.linspace(0, 1, 30)})
    figure = plots.parallel_coordinates(frame, ["lr"], "test_accuracy")
    lines = np.concatenate([trace.y.reshape(-1, 3) for trace in figure.data if len(trace.x) and trace.opacity])
    assert np.allclose(np.sort(lines[:, 0]), np.linspace(0, 1, 30), atol=1e-5)


def test_between_its_ends_an_axis_has_round_ticks() -> None:
    frame = pd.DataFrame({"lr": np.logspace(-5, -1, 30), "test_accuracy": np.linspace(0.4261, 0.7045, 30)})
    figure = plots.parallel_coordinates(frame, ["lr"], "test_accuracy")
    rates, accuracies = (set(trace.text) for trace in figure.data if trace.mode == "text")
    assert rates == {"1e-05", "0.0001", "0.001", "0.01", "0.1"}
    assert accuracies == {"42.61", "50", "60", "70.45"}


def test_costs_far_apart_have_ticks_that_say_their_seconds() -> None:
    frame = pd.DataFrame({"cell": ["a", "b"], "train_time_s": [0.4, 20.0], "mean": [0.5, 0.6]})
    ticks = plots.cost_accuracy(frame, device="CPU", front=False).layout.xaxis.ticktext
    assert {"1", "3", "10"} <= set(ticks)


def test_confusion_counts_become_shares_of_the_true_class() -> None:
    matrix = np.array([[3, 1], [0, 4]])
    heatmap = plots.confusion(matrix, ["cat", NASTY], "lr=0.1").data[0]
    assert np.allclose(heatmap.z, [[75, 25], [0, 100]])


def test_the_most_confident_mistakes_come_first() -> None:
    labels, predictions = np.array([0, 1, 0, 1]), np.array([1, 1, 1, 0])
    confidences = np.array([0.6, 0.99, 0.9, 0.7])
    assert most_confident_mistakes(labels, predictions, confidences, 2).tolist() == [2, 3]
    images = [np.full((4, 4, 1), 60 * place, np.uint8) for place in range(4)]
    figure = plots.mistakes(images, labels, predictions, confidences, ["cat", NASTY], "lr=0.1")
    drawn = pixels_of(next(trace for trace in figure.data if trace.type == "image"))
    assert (drawn[0, 0, :3] == 120).all(), "the third image is shown first"
    assert "3 wrong ones among 4" in figure.layout.meta["caption"]


def test_samples_leave_the_place_of_a_missing_image_empty() -> None:
    images = [np.full((8, 8, 3), 100, np.uint8)]
    figure = plots.samples({"set": {"cat": images * 2, "dog": images}})
    drawn = pixels_of(next(trace for trace in figure.data if trace.type == "image"))
    assert drawn[0, -1, 3] == 255
    assert drawn[-1, -1, 3] == 0


def test_a_thumbnail_of_gray_is_gray_rgb() -> None:
    assert (thumbnail(np.full((4, 6, 1), 9, np.uint8), 8) == np.full((8, 8, 3), 9)).all()


def test_names_are_shown_letter_by_letter() -> None:
    assert plain(NASTY) == "&lt;b&gt;x&lt;/b&gt; &amp; %&#123;y}"
    frame = curves(1, 2, 3).assign(cell=NASTY, epoch=1.0, schedule=NASTY, lr=0.1, test_curve_accuracy=0.5)
    grid = pd.DataFrame({NASTY: [NASTY, "b"] * 2, "c": [1, 1, 2, 2], "test_accuracy": [0.1, 0.2, 0.3, 0.5]})
    points = pd.DataFrame({NASTY: [1.0], "series": NASTY, "mean": 0.5, "low": 0.4, "high": 0.6})
    cost = pd.DataFrame({"cell": [NASTY, NASTY], "train_time_s": [1.0, 2.0], "mean": [0.5, 0.4]})
    images = [np.zeros((4, 4, 1), np.uint8)]
    drawn = [
        plots.learning_curves(frame, "val_accuracy"),
        plots.schedules(frame, NASTY),
        plots.against_authors(frame, pd.DataFrame({"cell": [NASTY], "arm": NASTY, "epoch": 1.0, "val_acc": 90.0})),
        plots.accuracy_over(points.assign(published=True, source=NASTY), NASTY),
        plots.parallel_coordinates(grid, [NASTY, "c"], "test_accuracy"),
        plots.cost_accuracy(cost, device=NASTY, front=True),
        plots.main_effects(grid, [NASTY, "c"]),
        plots.interaction(grid, NASTY, "c"),
        plots.interaction(grid, "c", NASTY),
        plots.confusion(np.eye(2, dtype=int), [NASTY, "b"], NASTY),
        plots.mistakes(images, np.array([0]), np.array([1]), np.array([0.9]), [NASTY, NASTY], NASTY),
        plots.filters({NASTY: np.zeros((4, 2, 2, 3))}),
        plots.samples({NASTY: {NASTY: images}}),
    ]
    for figure in drawn:
        texts = list(texts_in(figure.to_dict()))
        assert not any("<b>x" in text or "%{y}" in text for text in texts), figure.layout.title.text
        assert any("&lt;b&gt;x" in text for text in texts), figure.layout.title.text


def texts_in(part: Any) -> Iterator[str]:
    """Every text of a figure but its templates and its caption, which are not read as HTML, or hold none of ours."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for key, value in part.items():
            if key not in ("hovertemplate", "meta"):
                yield from texts_in(value)
    elif isinstance(part, list | tuple | np.ndarray):
        for value in part:
            yield from texts_in(value)


def test_a_study_of_a_thousand_trials_stays_small() -> None:
    frame = curves(334, 3, 120).assign(cell=lambda rows: "a cell of a rather long name, " + rows["cell"])
    assert len(plots.learning_curves(frame, "val_accuracy").to_json()) < 300_000
    long = curves(7, 3, 3000)
    assert len(plots.learning_curves(long, "val_accuracy").to_json()) < 60_000
    rng = np.random.default_rng(0)
    grid = pd.DataFrame({"a": rng.integers(0, 5, 1000), "b": rng.random(1000), "test_accuracy": rng.random(1000)})
    assert len(plots.parallel_coordinates(grid, ["a", "b"], "test_accuracy").to_json()) < 300_000
    cost = pd.DataFrame(
        {"cell": [f"cell {n}" for n in range(1000)], "train_time_s": rng.random(1000), "mean": grid["b"]}
    )
    assert len(plots.cost_accuracy(cost, device="GPU", front=True).to_json()) < 300_000


def test_the_authors_curves_are_all_there_and_ours_is_laid_over_them() -> None:
    authors = authors_curves()
    assert len(authors) == 1119
    cosine = authors[authors["arm"].str.startswith("sgd_cosine")]
    assert cosine["epoch"].tolist() == list(range(1, 11))
    assert cosine["val_acc"].max() == 98.72
    from_zero = authors[authors["study"] == "ablation_224_p16_unreported"]
    assert set(from_zero["epoch"]) == set(range(1, 21)), "the first pass is 1 in every study"
    assert authors[authors["study"] == "ablation_32_p4_test"]["epoch"].isna().all()
    ours = pd.DataFrame({"cell": "sgd cosine", "seed": 0, "epoch": [1.0, 2.0], "test_curve_accuracy": [0.5, 0.6]})
    figure = plots.against_authors(ours, cosine.assign(cell="sgd cosine"))
    theirs = [trace for trace in figure.data if trace.name and trace.name.startswith("authors")]
    assert np.allclose(theirs[0].y, cosine["val_acc"], atol=1e-3)


def test_schedules_draw_what_the_optimizer_was_given() -> None:
    frame = pd.DataFrame({"cell": "c", "schedule": "cosine", "step": range(1, 6), "lr": [0.1, 0.09, 0.05, 0.01, 0.0]})
    figure = plots.schedules(frame, "optimizer=sgd lr=0.1")
    assert any(np.allclose(trace.y, frame["lr"]) for trace in figure.data)
    assert "optimizer=sgd lr=0.1" in figure.layout.meta["caption"]


def test_a_cell_has_one_color_in_all_figures() -> None:
    """Also where a figure has them in another order, or has some of them only; of many cells the first are colored."""
    order = [f"cell {number}" for number in (3, 1, 7, 0, 2, 5, 4, 6)]
    frame = curves(8, 1, 3)
    cost = pd.DataFrame({"cell": [f"cell {n}" for n in range(8)], "train_time_s": np.arange(8) + 1.0, "mean": 0.5})
    rates = pd.DataFrame({"cell": ["cell 4", "cell 7"], "schedule": ["a", "b"], "step": 1, "lr": 0.1})
    authors = pd.DataFrame({"cell": ["cell 1"], "arm": "arm", "epoch": 1.0, "val_acc": 90.0})
    ours = pd.DataFrame({"cell": ["cell 7", "cell 1"], "seed": 0, "epoch": 1.0, "test_curve_accuracy": 0.5})
    expected = {cell: style.color(index) for index, cell in enumerate(order[: style.MAX_COLORED])}
    curve, points = plots.learning_curves(frame, "val_accuracy", order), plots.cost_accuracy(
        cost, device="GPU", front=True, order=order
    )  # fmt: skip
    assert {trace.name: trace.line.color for trace in curve.data if trace.name in order} == expected
    assert {trace.name: trace.marker.color for trace in points.data if trace.name} == expected
    schedules = plots.schedules(rates, "", order).data
    assert [trace.line.color for trace in schedules] == [style.TEXT, expected["cell 7"]]
    beside = plots.against_authors(ours, authors, order).data
    drawn = {trace.name: trace.line.color for trace in beside if trace.name}
    assert drawn == {"cell 7": expected["cell 7"], "cell 1": expected["cell 1"], "authors: arm": expected["cell 1"]}


def test_a_pareto_front_is_drawn_of_seconds_that_can_be_compared() -> None:
    cost = pd.DataFrame({"cell": ["a", "b"], "train_time_s": [1.0, 2.0], "mean": [0.5, 0.6]})
    lines = {
        front: [trace for trace in plots.cost_accuracy(cost, device="", front=front).data if trace.mode == "lines"]
        for front in (True, False)
    }
    assert len(lines[True]) == 1
    assert lines[False] == []
    assert "No Pareto front" in plots.cost_accuracy(cost, device="CPU", front=False).layout.meta["caption"]


def test_many_series_differ_in_colour_or_symbol() -> None:
    assert len({(style.color(index), style.symbol(index)) for index in range(49)}) == 49
