"""Table 6: is it enough to fine-tune the attention layers?

Run:     python run_study.py run attention_only --scale nano
Trials:  3 datasets x 3 models x 3 parts x 3 seeds = 81
Cost:    553,500 steps, 4.74e19 FLOPs (nano: 9,612 steps, 2.99e13 FLOPs)
Needs:   cifar10, cifar100, flowers102_trainval, deit3_small_patch16_224.fb_in1k, deit3_base_patch16_224.fb_in1k,
         deit3_large_patch16_224.fb_in1k (nano: nothing)
Result:  not run at paper scale yet. Published, ViT-B, all against attention: CIFAR-10 99.3 %, 99.2 %; CIFAR-100 92.5 %,
         91.8 %; Flowers 97.8 %, 98.5 %
"""

from search_spaces.framework import BetterThan, SearchSpace
from search_spaces.three_things import ALL, ATTENTION, FIXED, PARTS, PROXIES

FLOWERS = {"dataset": "flowers102_trainval"}

SPACE = SearchSpace(
    name="attention_only",
    question="Is it enough to fine-tune the attention layers?",
    paper="three_things",
    table="6",
    recipe="vit_2021",
    proxies=PROXIES,
    columns=("model.trained",),
    fixed=FIXED,
    scientific={"dataset": ("cifar10", "cifar100", *FLOWERS.values()), **PARTS},
    claims=(BetterThan(better=ATTENTION, worse=ALL, where=FLOWERS, quote="It is even better than full-tuning."),),
)
