"""Section 4 of "Three things everyone should know about Vision Transformers" (Touvron et al. 2022, arXiv 2203.09795).

Is it enough to fine-tune the attention layers? Two deviations: the paper's weights are not published in timm, so those
of DeiT III have their place (ImageNet-1k, LayerScale). The optimizer of Table 6 is not stated, so the recipe is that of
the ViT paper, with a rate in the middle of its grid, for all parts alike; all training images are trained on.
"""

VIT_S, VIT_B, VIT_L = (f"deit3_{size}_patch16_224.fb_in1k" for size in ("small", "base", "large"))
ALL, ATTENTION, MLP = ({"model.trained": part} for part in ("all", "attention", "mlp"))
PARTS = {"model.name": (VIT_S, VIT_B, VIT_L), "model.trained": ("all", "attention", "mlp")}
FIXED = {"resolution": 224, "optimizer.lr": 0.01, "val_fraction": 0.0}
PROXIES = {
    "model.name": {VIT_S: "vit_nano_small", VIT_B: "vit_nano_medium", VIT_L: "vit_nano_large"},
    "dataset": {"cars": "faces", "inat18": "textures", "inat19": "specimens"},
}
