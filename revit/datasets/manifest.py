"""The manifest of an image store: counts, classes, digest, caveats."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from revit.datasets.registry import SPECS

MANIFEST_VERSION = 3
"""Version of the fields beside the digest. A store with an older one is rebuilt and found equal."""
OPTIONAL_FIELDS = ("skipped", "decoder")
"""Fields that are written only where they are not empty, so that most manifests keep their first form."""
MAX_NAMED = 10
"""Maximum number of broken images in a message."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Description of an image store.

    Attributes:
        digest: covers pixels, sizes, labels, splits and class names.
        num_shared: test images whose pixels are also those of a training image.
        skipped: one error message per image that was left out.
        decoder: versions of the decoders of images kept encoded; empty where there are none.
    """

    dataset: str
    digest: str
    class_names: tuple[str, ...]
    channels: int
    num_train: int
    num_test: int
    num_shared: int
    skipped: tuple[str, ...] = ()
    decoder: str = ""

    def write(self, path: Path) -> None:
        """Write the manifest as JSON."""
        fields = {name: value for name, value in asdict(self).items() if name not in OPTIONAL_FIELDS or value}
        path.write_text(json.dumps(fields, indent=1))


def read_manifest(path: Path) -> Manifest:
    """Read a manifest. Raises the error of the JSON parser, or TypeError, on a damaged one."""
    fields: dict[str, Any] = json.loads(path.read_text())
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Manifest(**(fields | lists))


def store_caveats(manifest: Manifest) -> list[str]:
    """Return the caveats of a store, one line each.

    These are counts that differ from the registry, test images that are training images too, and broken images.
    """
    caveats = []
    spec = SPECS.get(manifest.dataset)
    if spec is not None:
        counts = (
            ("training images", manifest.num_train, spec.num_train),
            ("test images", manifest.num_test, spec.num_test),
            ("classes", len(manifest.class_names), spec.num_classes),
        )
        caveats += [
            f"dataset {spec.name} has {found:,} {noun} here; the registry says {expected:,}"
            for noun, found, expected in counts
            if found != expected
        ]
    if manifest.num_shared:
        caveats.append(
            f"dataset {manifest.dataset}: {manifest.num_shared:,} of its {manifest.num_test:,} test images "
            "are training images too, pixel by pixel"
        )
    if manifest.skipped:
        caveats.append(f"dataset {manifest.dataset} is without {list_broken(manifest.skipped)}")
    return caveats


def list_broken(errors: Sequence[str]) -> str:
    """Return the number of broken images, and the errors of the first MAX_NAMED."""
    more = [f"{len(errors) - MAX_NAMED:,} more"] if len(errors) > MAX_NAMED else []
    return f"{len(errors):,} broken images: {'; '.join([*errors[:MAX_NAMED], *more])}"
