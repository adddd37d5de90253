"""The model card, as the Hugging Face hub reads it, against the tables of the study."""

from dataclasses import replace
from pathlib import Path

from huggingface_hub import ModelCard
from torch import nn

from revit.models.normalization import normalization_of
from study.analysis.results import cell_table
from study.export.card import Card, write_card
from study.ledger.schema import TORCH_TAG
from study.plan import Folders
from study.trained_model import TrainedModel
from tests.study.made_plans import plan_of, record_of


def card_of(folders: Folders, model: str = "vit_nano", **changes: object) -> Card:
    """Return the card of the first of two cells with two seeds each, accurate in 80, 81, 60, 61 %."""
    plan = plan_of(folders, **changes)
    results = zip(plan.trials, (0.8, 0.6, 0.81, 0.61), strict=True)  # cells within seeds
    plan = plan.with_records(
        {trial.identity: record_of(trial, result, **{TORCH_TAG: "2.14"}) for trial, result in results}
    )
    trial = plan.trials[0]
    config = trial.candidate.config.with_values({"model.name": model, "model.pretrained": False})
    trial = replace(trial, candidate=replace(trial.candidate, config=config))
    trained = TrainedModel(
        network=nn.Identity(), class_names=tuple("0123456789"), normalization=normalization_of(config), trial=trial
    )
    return Card(trained, plan, [each for each in plan.trials if each.candidate.cell == trial.candidate.cell])


def test_the_hub_reads_license_library_and_results(folders: Folders, tmp_path: Path) -> None:
    write_card(card_of(folders), tmp_path / "README.md")
    data = ModelCard.load(tmp_path / "README.md").data
    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "timm", "image-classification")
    [result] = data.eval_results
    assert (result.dataset_type, result.dataset_split, result.metric_type) == ("digits", "test", "accuracy")
    assert result.metric_value == 0.8


def test_results_are_those_of_the_study(folders: Folders, tmp_path: Path) -> None:
    """The interval of the cell takes the variance of all cells into account, as in the report."""
    card = card_of(folders)
    write_card(card, tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text()
    cell = cell_table(card.plan).iloc[0]
    own = cell_table(replace(card.plan, trials=card.plan.trials[:1])).iloc[0]
    shown = [f"{100 * row['mean']:.2f} [{100 * row['low']:.2f}, {100 * row['high']:.2f}]" for row in (own, cell)]
    assert f"| test accuracy, % | {shown[0]} | {shown[1]} | 2 |" in text


def test_it_says_how_the_model_came_to_be(folders: Folders, tmp_path: Path) -> None:
    card = card_of(folders)
    write_card(card, tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text()
    for line in (
        "- **learning rate:** 0.1",
        "- **optimizer steps:** 5",
        "- **cell:** lr=0.1",
        "- **seed:** 0",
        f"- **identity:** {card.model.trial.identity}",
        "- **trained with:** workers 1, torch 2.14",
        "- **license:** CC BY 4.0",
        "- dataset digits: scikit-learn ships 1,797 images without a split",
        "- **caveat:** scikit-learn ships 1,797 images without a split",
        "no evidence on models of the usual sizes",
        'timm.create_model("local-dir:FOLDER", pretrained=True)',
        'pipeline("image-classification", model="FOLDER")',
    ):
        assert line in text, line


def test_a_model_that_timm_cannot_build_says_so(folders: Folders, tmp_path: Path) -> None:
    write_card(card_of(folders, model="bit_nano"), tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text()
    assert "timm and transformers cannot build bit_nano" in text
    assert "local-dir" not in text
    assert ModelCard.load(tmp_path / "README.md").data.library_name is None


def test_text_of_a_user_is_not_markup(folders: Folders, tmp_path: Path) -> None:
    write_card(card_of(folders, question="Is <script> | escaped?"), tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text()
    assert r"Is &lt;script&gt; \| escaped?" in text
