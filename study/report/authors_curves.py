"""The authors' training curves, from their published notebooks."""

from importlib.resources import files

import pandas as pd


def load_authors_curves() -> pd.DataFrame:
    """Return columns study, arm, epoch, train_loss, val_loss, val_acc (percent).

    Epochs are passes over the training images, 1 after the first; the notebooks of the position-embedding
    ablation count from 0 and are shifted here. The epoch is NaN in the row of a whole run.
    """
    with (files("search_spaces.framework") / "authors_curves.csv").open() as lines:
        frame = pd.read_csv(lines)
    from_zero = frame["study"].str.startswith("ablation")
    frame["epoch"] = pd.to_numeric(frame["epoch"], errors="coerce") + from_zero
    return frame
