"""Table 5: is Adam worse than SGD, also with a learning rate of its own?

The paper trains Adam with the learning rate of SGD. Here every optimizer and schedule has that rate, beside one that is
tuned for it (for AdamW with its weight decay). The search begins at the paper's rate. So the paper's sentences get a
verdict each way: as they were measured, and as a comparison of tuned optimizers.

Run:     python run_study.py run optimizer_schedule --scale nano
Trials:  3 optimizers x 4 schedules x (fixed, tuned) x 3 seeds = 72, and 12 searches x 8 points = 96
Cost:    2,590,500 steps, 8.74e18 FLOPs (nano: 28,020 steps, 4.30e13 FLOPs)
Needs:   cifar10, vit_b16_in21k_ft_in1k (nano: nothing)
Result:  not run at paper scale yet. Published: SGD 98.72 %, Adam 71.80 %; SGD with other schedules 98.67 % to 98.75 %
"""

from search_spaces.framework import BetterThan, NoDifference, Range, Search, SearchSpace

SCHEDULES = ("cosine", "linear", "exponential", "plateau")


def sgd_before_adam(learning_rate: str) -> BetterThan:
    """Return the claim of Table 5 on optimizers."""
    return BetterThan(
        better={"optimizer.name": "sgd"},
        worse={"optimizer.name": "adam"},
        where={"learning_rate": learning_rate, "schedule.name": "cosine"},
        at_least=13.4,  # half of the difference in Table 5
        quote="Table 5: SGD 98.72, Adam 71.80",
    )


def schedules_alike(learning_rate: str) -> NoDifference:
    """Return the claim of Table 5 on schedules."""
    return NoDifference(
        axis="schedule.name",
        among=SCHEDULES,
        margin=0.25,  # half the width of Wilson's interval of one such accuracy: one run cannot show less
        where={"learning_rate": learning_rate, "optimizer.name": "sgd"},
        quote="Table 5: Cosine 98.72, Linear 98.67, Exponential 98.72, ExponentialReduceLROnPlateau 98.75",
    )


SPACE = SearchSpace(
    name="optimizer_schedule",
    question="How much do optimizer and schedule matter, at one learning rate and at a tuned one?",
    paper="re_vit",
    table="5",
    experiment="parameter_study",
    columns=("schedule.name",),
    fixed={"dataset": "cifar10", "model.name": "vit_b16_in21k_ft_in1k"},
    scientific={
        "optimizer.name": ("sgd", "adam", "adamw"),
        "learning_rate": {"fixed": {"optimizer.lr": 1e-3}, "tuned": {}},
        "schedule.name": SCHEDULES,
    },
    nuisance={
        "optimizer.lr": Range(1e-5, 1e-1, log=True, when={"learning_rate": "tuned"}),
        "optimizer.weight_decay": Range(
            1e-3, 0.3, log=True, when={"learning_rate": "tuned", "optimizer.name": "adamw"}
        ),
    },
    search=Search(num_trials=8, enqueue=({"optimizer.lr": 1e-3, "optimizer.weight_decay": 0.05},)),
    claims=(
        sgd_before_adam("fixed"),
        schedules_alike("fixed"),
        sgd_before_adam("tuned"),
        schedules_alike("tuned"),
    ),
)
