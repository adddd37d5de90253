"""Words for the config fields of trials."""

from typing import get_args

from revit.config import FineTuneConfig
from revit.datasets.augmentations import AUGMENTATIONS
from revit.fields import fields_by_path
from study.report.setting_words import WORDS, Words, percent, pixels, short


def test_each_field_has_words_and_each_of_its_choices_is_worded() -> None:
    fields = fields_by_path(FineTuneConfig)
    assert set(WORDS) == set(fields)
    for path, words in WORDS.items():
        if isinstance(words.values, dict) and path not in ("loss", "augmentation", "optimizer.name"):
            choices = get_args(fields[path].hint) or (True, False)
            assert set(words.values) == set(choices), path
    assert set(WORDS["augmentation"].values) == set(AUGMENTATIONS)  # type: ignore[arg-type]  # a dict


def test_a_value_and_its_words_in_a_sentence() -> None:
    assert WORDS["optimizer.lr"].phrase(WORDS["optimizer.lr"].text(0.1)) == "a learning rate of 0.1"
    assert WORDS["model.frozen"].text("first_6") == "the embedding and the first 6 blocks"
    assert WORDS["schedule.warmup"].text(500) == "500 optimizer steps"
    assert WORDS["schedule.warmup"].text("2 epochs") == "2 epochs"
    assert Words("betas").phrase("1") == "betas 1"
    assert (percent(0.25), pixels(28), short(0.9**10)) == ("25 %", "28 px", "0.348678")
