"""Table 4: is ViT better than BiT on images unlike those of pre-training?

Run:     python run_study.py run domain_shift --scale nano
Trials:  3 datasets x 2 models x 3 seeds = 18
Cost:    2,310 steps, 5.99e16 FLOPs (nano: 276 steps, 1.00e12 FLOPs)
Needs:   brain_tumor_mri, plant_health, weapons, vit_b16_in21k, bit_r50x1_in21k (nano: nothing)
Result:  not run at paper scale yet. Published, ViT against BiT: MRI 96.39 %, 96.11 %; plants 91.92 %, 96.97 %;
         weapons 59.07 %, 48.52 %
"""

from search_spaces.framework import BetterThan, SearchSpace

VIT, BIT = "vit_b16_in21k", "bit_r50x1_in21k"

SPACE = SearchSpace(
    name="domain_shift",
    question="Is ViT better than BiT on medical, horticultural and military images?",
    paper="re_vit",
    table="4",
    experiment="transfer_by_epochs",
    columns=("dataset",),
    scientific={
        "dataset": ("brain_tumor_mri", "plant_health", "weapons"),
        "model.name": (VIT, BIT),
    },
    claims=(
        BetterThan(
            better={"model.name": VIT},
            worse={"model.name": BIT},
            where={"dataset": "brain_tumor_mri"},
            quote="The results of the experiment revealed that the ViT model outperformed the BiT model by a margin of "
            "approximately 0.27%.",
        ),
        BetterThan(
            better={"model.name": BIT},
            worse={"model.name": VIT},
            where={"dataset": "plant_health"},
            quote="Here, BiT outperformed ViT by a significant margin of approximately 5.05%.",
        ),
        BetterThan(
            better={"model.name": VIT},
            worse={"model.name": BIT},
            where={"dataset": "weapons"},
            quote="In our study, ViT outperformed BiT by a substantial margin of approximately 10.55%, marking the "
            "largest gap observed in our domain-specific experiments.",
        ),
    ),
)
