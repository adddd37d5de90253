"""Is AdamW better than SGD out of distribution, or does SGD only have to leave the embedding alone?

Table 5 of `re_vit` trains SGD and Adam at one learning rate, and Adam loses 27 points. Here each optimizer has its own
for the same model, of six. If SGD and AdamW are then alike on CIFAR-10, that gap is one of tuning. If they
differ on shifted images, and AdamW and SGD with a frozen embedding do not, the rest is one of the embedding.

Run:     python run_study.py run sgd_or_adamw --scale nano
Trials:  4 optimizers x 3 seeds = 12, and 4 searches x 6 points = 24
Cost:    555,240 steps, 1.87e18 FLOPs (nano: 2,184 steps, 3.35e12 FLOPs)
Needs:   cifar10, vit_b16_in21k_ft_in1k (nano: nothing)
Result:  not run at paper scale yet. Published, at second hand, out of distribution: SGD 71.9 %, AdamW 76.0 %, SGD with
         frozen embedding 76.7 %
"""

from search_spaces.framework import BetterThan, NoDifference, SearchSpace

SHIFTED = ("stl10", "cifar10.1", "cifar10_c-gaussian_noise-3")
SGD, ADAMW, FROZEN, PLAIN = (
    {"optimizer": name} for name in ("SGD", "AdamW", "SGD, frozen embedding", "SGD, frozen embedding, no momentum")
)
FREEZE = {"optimizer.name": "sgd", "model.frozen": "embedding"}
MEANS = "at second hand: out of distribution, mean of 5 datasets and 7 models, SGD 71.9, AdamW 76.0, SGD with frozen "
MEANS += "embedding 76.7"

SPACE = SearchSpace(
    name="sgd_or_adamw",
    question="Is AdamW better than SGD out of distribution, or does SGD only have to leave the embedding alone?",
    paper="freeze_embed",
    table="means",
    experiment="parameter_study",
    fixed={"dataset": "cifar10", "test_sets": SHIFTED},
    scientific={
        "optimizer": {
            "SGD": {"optimizer.name": "sgd"},
            "AdamW": {"optimizer.name": "adamw", "optimizer.weight_decay": 0.05},
            "SGD, frozen embedding": FREEZE,
            "SGD, frozen embedding, no momentum": {**FREEZE, "optimizer.momentum": 0.0},
        },
    },
    nuisance={"optimizer.lr": (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)},
    proxies={"dataset": {"cifar10": "digits", **dict.fromkeys(SHIFTED, "mnist_5k")}},
    metric="accuracy@stl10",
    metrics=("accuracy", "accuracy_change@stl10", *(f"accuracy@{name}" for name in SHIFTED[1:]), "peak_memory_bytes"),
    # The margin of what is better is half of the published difference: a result that is nearer to none than to theirs
    # does not repeat it.
    claims=(
        BetterThan(better=ADAMW, worse=SGD, at_least=2, quote=MEANS),
        BetterThan(better=FROZEN, worse=SGD, at_least=2.4, quote=MEANS),
        NoDifference(axis="optimizer", among=("AdamW", "SGD, frozen embedding"), margin=2, quote=MEANS),
        BetterThan(
            better=PLAIN,
            worse=ADAMW,
            metric="peak_memory_bytes",
            relative=True,
            at_least=13,  # half of what AdamW takes more, in percent of AdamW's; there of a ViT-L
            quote="at second hand: on ViT-L, AdamW takes 36 % more memory than SGD with frozen embedding, no momentum",
        ),
        NoDifference(
            axis="optimizer",
            among=("SGD", "AdamW"),
            metric="accuracy",
            margin=1,  # Table 5 has SGD 98.72, Adam 71.80
            quote="the gap of Table 5 is one of tuning (this project's sentence)",
        ),
    ),
)
