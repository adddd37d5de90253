"""Table 2: does fine-tuning above the pre-training resolution help?

Run:     python run_study.py run resolution --scale nano
Trials:  2 datasets x 5 resolutions x 3 seeds = 30
Cost:    45,000 steps, 1.29e18 FLOPs (nano: 1,740 steps, 7.32e12 FLOPs)
Needs:   cifar100, flowers102_nelorth, vit_b16_in21k (nano: nothing)
Result:  not run at paper scale yet. Published: CIFAR-100 91.19 % at 224 px, 90.06 % at 384 px;
         Flowers 98.53 % at 384 px, 98.43 % at 512 px
"""

from search_spaces.framework import Best, BetterThan, LargerGap, SearchSpace

DATASETS = ("cifar100", "flowers")
RESOLUTIONS = (512, 384, 224, 128, 64)

SPACE = SearchSpace(
    name="resolution",
    question="Does fine-tuning above the pre-training resolution help?",
    paper="re_vit",
    table="2",
    columns=("resolution",),
    fixed={"model.name": "vit_b16_in21k"},
    scientific={"dataset": DATASETS, "resolution": RESOLUTIONS},
    claims=(
        LargerGap(
            # On a line, the gain from 128 px to 512 px would be six times that from 64 px to 128 px.
            gap=({"resolution": 128}, {"resolution": 64}),
            than=(({"resolution": 512}, {"resolution": 128}),),
            where={"dataset": DATASETS},
            quote="Our results indicate that increasing resolution does not lead to a linear improvement in "
            "performance.",
        ),
        Best(
            axis="resolution",
            value=224,
            among=RESOLUTIONS,
            where={"dataset": "cifar100"},
            quote="For CIFAR100, the best performance was achieved when fine-tuning at the same resolution as "
            "pre-training.",
        ),
        BetterThan(
            better={"resolution": 384},
            worse={"resolution": 512},
            where={"dataset": "flowers"},
            quote="For Flower102, a resolution of 384 outperformed 512.",
        ),
        Best(
            axis="resolution",
            value=RESOLUTIONS[:3],  # 224 px is that of pre-training
            among=RESOLUTIONS,
            where={"dataset": DATASETS},
            quote="fine-tuning at an equal or higher resolution than pre-training may be necessary for optimal "
            "performance",
        ),
        Best(
            axis="resolution",
            value=RESOLUTIONS[1:],
            among=RESOLUTIONS,
            where={"dataset": DATASETS},
            quote="higher resolution does not guarantee improved results.",
        ),
    ),
)
