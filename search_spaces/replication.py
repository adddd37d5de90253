"""Table 1: does ViT-B/16 reach its published accuracy on small datasets with a fraction of the training?

Run:     python run_study.py run replication --scale nano
Trials:  3 datasets x 3 seeds = 9
Cost:    16,500 steps, 7.03e17 FLOPs (nano: 588 steps, 3.41e12 FLOPs)
Needs:   cifar10, cifar100, flowers102_nelorth, vit_b16_in21k (nano: nothing)
Result:  not run at paper scale yet. Published: CIFAR-10 98.48 %, CIFAR-100 90.06 %, Flowers 98.53 %;
         by the ViT paper 98.95 %, 91.67 %, 99.38 %
"""

from search_spaces.framework import Matches, SearchSpace, read_paper

SPACE = SearchSpace(
    name="replication",
    question="Does ViT-B/16 reach its published accuracy with a fraction of the published training?",
    paper="re_vit",
    table="1",
    columns=("dataset",),
    fixed={"model.name": "vit_b16_in21k"},
    scientific={"dataset": ("cifar10", "cifar100", "flowers")},
    claims=(
        Matches(
            axis="dataset",
            # Table 1 quotes 98.95, 91.67 and 99.38; Flowers is on 6,149 test images, where the paper has 1,020.
            published=read_paper("re_vit").values("dataset", table="1", source="ViT"),
            # Published runs differ most on CIFAR-100 at 384 px: four are within a point, 91.15 to 92.06. The fifth,
            # 89.17, was trained on about as few images as here.
            margin=1,
            quote="Our results aligned with the performance reported in the original paper.",
        ),
    ),
)
