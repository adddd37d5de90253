"""Table 4: is ViT better than BiT on images unlike those of pre-training?

Run:     python run_study.py run domain_shift --scale nano
Trials:  3 datasets x 2 models x 3 seeds = 18
Cost:    2,310 steps, 5.99e16 FLOPs (nano: 276 steps, 1.00e12 FLOPs)
Needs:   brain_tumor_mri, plant_health, weapons, vit_b16_in21k, bit_r50x1_in21k (nano: nothing)
Result:  not run at paper scale yet. Published, ViT against BiT: MRI 96.39 %, 96.11 %; plants 91.92 %, 96.97 %;
         weapons 59.07 %, 48.52 %
"""

from search_spaces.framework import BetterThan, Difference, LargerGap, SearchSpace

DATASETS = ("brain_tumor_mri", "plant_health", "weapons")
VIT, BIT = {"model.name": "vit_b16_in21k"}, {"model.name": "bit_r50x1_in21k"}
WEAPONS = {"dataset": "weapons"}


def gap(dataset: str) -> Difference:
    """Return the lead of ViT over BiT on a dataset."""
    return {**VIT, "dataset": dataset}, {**BIT, "dataset": dataset}


SPACE = SearchSpace(
    name="domain_shift",
    question="Is ViT better than BiT on medical, horticultural and military images?",
    paper="re_vit",
    table="4",
    experiment="transfer_by_epochs",
    columns=("dataset",),
    scientific={
        "dataset": DATASETS,
        "model.name": (*VIT.values(), *BIT.values()),
    },
    # A margin that the text calls significant or substantial is half of the difference in Table 4: a result that is
    # nearer to none than to theirs does not repeat it.
    claims=(
        BetterThan(
            better=VIT,
            worse=BIT,
            where={"dataset": "brain_tumor_mri"},
            quote="The results of the experiment revealed that the ViT model outperformed the BiT model by a margin of "
            "approximately 0.27%.",
        ),
        BetterThan(
            better=VIT,
            worse=BIT,
            quote="This finding aligns with the claims presented in the original ViT paper, which asserted that ViT "
            "models outperform ResNet models when pre-trained on large-scale datasets such as ImageNet-21K and "
            "subsequently fine-tuned on specific downstream tasks.",
        ),
        BetterThan(
            better=BIT,
            worse=VIT,
            at_least=2.5,
            where={"dataset": "plant_health"},
            quote="Here, BiT outperformed ViT by a significant margin of approximately 5.05%.",
        ),
        BetterThan(
            better=VIT,
            worse=BIT,
            at_least=5.3,
            where=WEAPONS,
            quote="In our study, ViT outperformed BiT by a substantial margin of approximately 10.55%",
        ),
        LargerGap(
            gap=gap("weapons"),
            than=tuple(gap(each) for each in DATASETS[:2]),
            either_way=True,
            quote="marking the largest gap observed in our domain-specific experiments.",
        ),
        BetterThan(
            better={"dataset": DATASETS[:2]},
            worse=WEAPONS,
            at_least=16,  # half of the smallest of the four differences in Table 4, 91.92 - 59.07
            where={"model.name": (*VIT.values(), *BIT.values())},
            quote="both models exhibited significantly lower accuracy compared to previous experiments",
        ),
    ),
)
