"""A study about further test sets, at the scale at which their proxies are tested."""

from search_spaces.framework import BetterThan, SearchSpace

SGD, ADAMW = {"optimizer.name": "sgd"}, {"optimizer.name": "adamw"}
SPACE = SearchSpace(
    name="example",
    question="?",
    fixed={"dataset": "cifar10", "test_sets": ("stl10", "cifar10.1")},
    scientific={"optimizer.name": ("sgd", "adamw")},
    proxies={"dataset": {"stl10": "digits", "cifar10.1": "digits"}},
    metric="accuracy@stl10",
    metrics=("accuracy@cifar10.1", "accuracy_change@stl10", "peak_memory_bytes"),
    claims=(
        BetterThan(better=ADAMW, worse=SGD, quote="1"),
        BetterThan(better=ADAMW, worse=SGD, metric="accuracy_change@cifar10.1", quote="2"),
        BetterThan(better=SGD, worse=ADAMW, metric="peak_memory_bytes", quote="3"),
    ),
)


def test_metrics_are_about_the_test_sets_of_the_scale() -> None:
    nano = SPACE.variant(scale="nano")
    assert nano.metric == "accuracy@digits"
    assert nano.metrics == ("accuracy_change@digits", "peak_memory_bytes"), "one test set has one accuracy"
    assert [claim.metric for claim in nano.claims] == [None, "accuracy_change@digits", "peak_memory_bytes"]
    assert {each.config.test_sets for each in nano.candidates((0,))} == {("digits",)}
    assert nano.tuned_metric == "accuracy"


def test_at_paper_scale_and_at_the_nano_scale_again_a_study_stays_as_it_is() -> None:
    assert SPACE.variant(scale="paper") == SPACE
    nano = SPACE.variant(scale="nano")
    assert nano.variant(scale="nano") == nano
    assert nano.variant(recipe="authors").metric == "accuracy@digits"
