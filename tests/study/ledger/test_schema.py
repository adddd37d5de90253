"""study.ledger.schema against MLflow, a search space, a real trial."""

from collections.abc import Callable

from mlflow.utils import mlflow_tags

from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.ledger import schema
from study.plan import TRIAL_METRICS

METRICS = {
    schema.TRAIN_LOSS,
    schema.LEARNING_RATE,
    schema.GRAD_NORM,
    schema.IMAGES_PER_S,
    schema.VAL_LOSS,
    schema.VAL_ACCURACY,
    schema.TEST_CURVE_LOSS,
    schema.TEST_CURVE_ACCURACY,
    *TRIAL_METRICS,
}


def test_the_tags_that_mlflow_owns_are_called_as_it_calls_them() -> None:
    assert schema.PARENT_TAG == mlflow_tags.MLFLOW_PARENT_RUN_ID
    assert schema.USER_TAG == mlflow_tags.MLFLOW_USER
    assert schema.COMMIT_TAG == mlflow_tags.MLFLOW_GIT_COMMIT


def test_every_name_is_used_for_one_thing() -> None:
    names = [value for name, value in vars(schema).items() if name.endswith(("_TAG", "_PREFIX"))]
    assert len(set(names)) == len(names)


def test_a_search_space_tags_its_trials_by_these_names() -> None:
    base = FineTuneConfig(dataset="digits", resolution=8, steps=1)
    of_recipe = SearchSpace(name="s", question="?", scientific={"dataset": ("cifar10",)})
    of_base = SearchSpace(name="s", question="?", scientific={"optimizer.lr": (0.1,)}, base=base)
    assert set(of_recipe.tags) == {schema.STUDY_TAG, schema.RECIPE_TAG, schema.SCALE_TAG}
    assert set(of_base.tags) == {schema.STUDY_TAG}


def test_a_trial_measures_the_metrics_that_are_named_here(small: FineTuneConfig, train: Callable[..., object]) -> None:
    result, listener = train(small.with_values({"test_curve": True, "steps": 6}))
    measured = {name for row in listener.rows for name in row} | result.metrics.keys()
    assert measured - {"step"} == METRICS
