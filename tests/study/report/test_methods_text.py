"""Methods section of a paper, written from the facts of a study."""

from dataclasses import replace
from pathlib import Path

from search_spaces.framework.claims import BetterThan
from search_spaces.framework.ranges import Range
from search_spaces.framework.sequential_design import SequentialDesign
from study.plan import Folders
from study.report.methods_text import SENTENCES, methods_text
from study.report.setting_words import WORDS
from tests.study.made_plans import plan_of, record_of, searched, space_of
from tests.study.report.methods_plans import BASE, SPACE, methods_of, plan_of_configs
from tests.study.report.test_methods import launch, ran


def test_each_field_has_a_place_in_one_sentence() -> None:
    sentences = [each for paragraph in SENTENCES.values() for each in paragraph]
    stated = [path for each in sentences for path in (*each.heads, *each.details)]
    assert sorted([*stated, "dataset", "model.name", "seed"]) == sorted(WORDS)


def test_it_reads_as_a_methods_section() -> None:
    plan = plan_of_configs(
        {
            "sgd": BASE.with_values({"schedule.warmup": 6}),
            "adam": BASE.with_values({"optimizer.name": "adam", "optimizer.lr": 0.001, "schedule.warmup": 6}),
        }
    )
    text = methods_text(methods_of(plan))
    assert text["Training"] == (
        "The training loss was cross-entropy. The optimizer was SGD or Adam, with a learning rate of 0.03 (SGD) or "
        "0.001 (Adam), a momentum of 0.9 (SGD), no weight decay, gradients clipped to an L2 norm of 1 and a batch size "
        "of 128. The learning rate followed a cosine schedule, with linear warmup over 6 optimizer steps. Training "
        "lasted 60 optimizer steps."
    )
    assert "10 classes; 1,294 training, 144 validation and 359 test images" in text["Data"]
    assert "We fine-tuned vit_nano" in text["Models"]
    assert (
        "Each of 2 cells (settings) was trained with the seed 0: 2 trials, of which 0 finished." in text["Evaluation"]
    )


def test_adapters_training_from_scratch_and_early_stopping() -> None:
    lora = {"model.adapter": "lora", "model.trained": "attention", "model.frozen": "first_2"}
    text = methods_text(methods_of(plan_of_configs({"a": BASE.with_values(lora)})))
    assert (
        "We trained the attention layers and the head and by LoRA adapters, with rank 8, alpha 16 and the embedding "
        "and the first 2 blocks frozen." in text["Models"]
    )
    scratch = {"model.pretrained": False, "model.dropout": 0.1, "selection": "best_val"}
    text = methods_text(methods_of(plan_of_configs({"a": BASE.with_values(scratch)})))
    assert "We trained from random initialization vit_nano" in text["Models"]
    assert "Training started from random initialization." in text["Models"]
    assert "Regularization was by dropout of 0.1." in text["Training"]
    assert "The tested weights were those with the best validation accuracy (early stopping)." in text["Evaluation"]


def test_a_search_and_another_metric(tmp_path: Path, cache_dir: Path) -> None:
    folders = Folders(store=tmp_path, data=tmp_path, cache=cache_dir)
    changes = {
        "scientific": {"schedule.name": ("cosine", "constant")},
        "nuisance": {"optimizer.lr": Range(0.01, 0.1, log=True)},
        "metric": "macro_f1",
    }
    records = searched(space_of(**changes), folders, lambda config: config.optimizer.lr)
    text = methods_text(methods_of(plan_of(folders, records, **changes)))
    assert "It tries points of a Sobol sequence" in text["Search"]
    assert "a learning rate of" in text["Training"]
    assert "tuned in each cell" in text["Training"]
    assert "We kept 0 % of the training images for validation" in text["Data"]
    assert "The metric is the test macro F1." in text["Evaluation"]


def test_time_code_and_dates_are_stated_also_of_what_failed() -> None:
    plan = ran(plan_of_configs({"a": BASE}), "l")
    [trial] = plan.trials
    assert trial.record is not None
    timed = replace(trial.record, start_s=10, end_s=75, tags={**trial.record.tags, "device": "cpu", "torch": "2.14"})
    failed = replace(record_of(trial), run_id="f", identity="f", start_s=5, end_s=35)
    plan = replace(plan, trials=[replace(trial, record=timed)], other_records=[failed])
    infos = [launch("l", 0, **{"mlflow.source.git.commit": "abc", "git_dirty": "true"})]
    computation = methods_text(methods_of(plan, infos))["Computation"]
    assert (
        "In all, trials took 1 min 35 s of device time (1 trial finished, in the table: 1 min 5 s on cpu" in computation
    )
    assert "1 trial of earlier setups, other cells or other seeds: 30 s on a device that is not recorded" in computation
    assert "PyTorch 2.14" in computation
    assert "They were launched on 1970-01-01 from commit abc with uncommitted changes of the code." in computation


def test_claims_say_how_they_were_tested() -> None:
    claim = BetterThan(better={"level": "a"}, worse={"level": "b"}, quote="It does.")
    plan = plan_of_configs({"a": BASE}, replace(SPACE, claims=(claim,)))
    assert "Holm's correction over the 1 claims of the study" in methods_text(methods_of(plan))["Evaluation"]


def test_a_sequential_design_is_stated_with_the_seeds_that_cells_got() -> None:
    plan = plan_of_configs({"a": BASE, "b": BASE.with_values({"mixup": 0.1})})
    again = replace(plan.trials[0], candidate=replace(plan.trials[0].candidate, config=BASE.with_values({"seed": 1})))
    design = SequentialDesign.between(2, 8)
    text = methods_text(methods_of(replace(plan, trials=[*plan.trials, again], design=design)))["Evaluation"]
    assert "Each of 2 cells (settings) was trained with 1 to 2 seeds: 3 trials" in text
    assert f"{design}, which add up to 5 % (power spending, registered before the first look)." in text
