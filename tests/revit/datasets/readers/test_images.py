"""Decoding of every image format that PIL writes; other files are refused."""

import ast
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import revit
from revit.datasets.image_store import ImageStore
from revit.datasets.readers.images import ImageFile, decode_image, open_image
from revit.errors import InputError
from tests.revit.datasets.sample_files import KINDS, cut, folder_contents

RGB = np.random.default_rng(0).integers(0, 256, (7, 11, 3), dtype=np.uint8)
GRAY = RGB[..., 0]
ALPHA = RGB[..., 1]


def written(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(content: bytes, tmp_path: Path) -> np.ndarray:
    """Decode through a file, which must have what memory has."""
    (tmp_path / "image").write_bytes(content)
    in_file, in_memory = ImageFile("file", tmp_path / "image"), ImageFile("memory", content)
    assert in_file.read() == in_memory.read() == content
    image = decode_image(content, "memory")
    assert image.dtype == np.uint8
    return image


def test_colors_are_unchanged(tmp_path: Path) -> None:
    for kind in ("png", "bmp", "tiff"):
        assert np.array_equal(decoded(written(Image.fromarray(RGB), kind), tmp_path), RGB)


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff"])
def test_gray_becomes_three_equal_channels(tmp_path: Path, kind: str) -> None:
    assert np.array_equal(decoded(written(Image.fromarray(GRAY), kind), tmp_path), np.stack([GRAY] * 3, axis=2))


def test_black_and_white_become_0_and_255(tmp_path: Path) -> None:
    bits = GRAY > 127
    expected = np.stack([bits * np.uint8(255)] * 3, axis=2)
    assert np.array_equal(decoded(written(Image.fromarray(bits), "png"), tmp_path), expected)


def test_sixteen_bits_keep_their_upper_eight(tmp_path: Path) -> None:
    deep = np.array([[0, 255, 256, 30_000, 65_535]], np.uint16)
    for kind in ("png", "tiff"):
        image = decoded(written(Image.fromarray(deep), kind), tmp_path)
        assert image[0].tolist() == [[value] * 3 for value in (0, 0, 1, 117, 255)]


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_gray_without_a_white_is_refused(dtype: type) -> None:
    content = written(Image.fromarray(GRAY.astype(dtype)), "tiff")
    with pytest.raises(InputError, match=r"^the image x cannot be decoded: its gray levels \(mode [IF]\)"):
        decode_image(content, "x")


def test_transparency_is_dropped_from_every_mode(tmp_path: Path) -> None:
    rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
    assert np.array_equal(decoded(written(rgba, "png"), tmp_path), RGB)
    gray_alpha = Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(ALPHA)])
    assert np.array_equal(decoded(written(gray_alpha, "png"), tmp_path), np.stack([GRAY] * 3, axis=2))


@pytest.mark.parametrize("transparency", [None, 3, bytes(range(0, 256, 4))])
def test_a_palette_is_looked_up(tmp_path: Path, transparency: int | bytes | None) -> None:
    colors = np.random.default_rng(1).integers(0, 256, (64, 3), dtype=np.uint8)
    indices = GRAY % 64
    image = Image.fromarray(indices)
    image.putpalette(colors.tobytes())
    options = {} if transparency is None else {"transparency": transparency}
    assert np.array_equal(decoded(written(image, "png", **options), tmp_path), colors[indices])


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    """The oracle is arithmetic: (1 - ink)(1 - black)."""
    cmyk = np.random.default_rng(2).integers(0, 256, (7, 11, 4), dtype=np.uint8)
    image = decoded(written(Image.fromarray(cmyk, mode="CMYK"), "tiff"), tmp_path)
    ink, black = cmyk[..., :3] / 255, cmyk[..., 3:] / 255
    assert np.abs(image - 255 * (1 - ink) * (1 - black)).max() <= 1


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_rotation_is_undone(tmp_path: Path, orientation: int, turns: int) -> None:
    """A camera held `turns` quarters the other way; numpy turns the oracle."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = written(Image.fromarray(RGB), "png", exif=exif)
    assert np.array_equal(decoded(content, tmp_path), np.rot90(RGB, turns))


@pytest.mark.parametrize("kind", ["jpeg", "png", "bmp", "gif", "tiff", "webp"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # PIL warns about a truncated TIFF before it raises
def test_a_truncated_image_is_named_in_one_line(tmp_path: Path, kind: str) -> None:
    whole = written(Image.fromarray(RGB), kind)
    for length in (0, 3, 20, len(whole) // 2):
        with pytest.raises(InputError, match=r"^the image table\.parquet, row 3 cannot be decoded: [^\n]+$") as raised:
            decode_image(whole[:length], "table.parquet, row 3")
        assert "BytesIO" not in str(raised.value)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(ran) print\n"


def test_only_image_formats_are_opened_whatever_the_file_name(tmp_path: Path) -> None:
    """PIL would hand EPS to Ghostscript. The oracle is PIL itself, which knows the file."""
    path = tmp_path / "innocent.png"
    path.write_bytes(EPS)
    with Image.open(path) as known:
        assert known.format == "EPS"
    with pytest.raises(InputError, match=r"innocent cannot be decoded: its format is not one of JPEG, PNG, .*, WEBP$"):
        decode_image(EPS, "innocent")
    with pytest.raises(ValueError, match="its format is not one of"):
        open_image(path)


def test_images_are_opened_in_one_place() -> None:
    root = Path(revit.__file__).parent.parent
    files = [path for package in ("revit", "study", "search_spaces") for path in (root / package).rglob("*.py")]
    assert [path.name for path in files if "Image.open" in functions_called(path)] == ["images.py"]


def functions_called(module: Path) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)}


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    """A file of some 100 kB: PIL warns above its limit, and only above twice that it raises."""
    side = 9500
    assert Image.MAX_IMAGE_PIXELS < side**2 < 2 * Image.MAX_IMAGE_PIXELS
    bomb = written(Image.new("1", (side, side)), "png")
    assert len(bomb) < 50_000
    with pytest.raises(
        InputError, match=rf"^the image bomb cannot be decoded: Image size \({side**2} pixels\) exceeds"
    ):
        decode_image(bomb, "bomb")


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "away.png").symlink_to(tmp_path / "nowhere")
    for name, reason in (
        ("pipe", "is not a regular file"),
        ("zero", "is not a regular file"),
        ("away", "No such file"),
    ):
        image = ImageFile(name, tmp_path / f"{name}.png")
        with pytest.raises(InputError, match=reason):
            image.read()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")  # decoders warn about damaged files before they raise
def test_a_damaged_image_is_read_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], read: Callable[..., ImageStore | None], kind: str
) -> None:
    whole = folder_contents(kind)
    first = next(iter(whole))
    fuzz(20, lambda content: read("folder:DATA", whole | {first: content}), damaged(whole[first]))
    head, rest = cut(whole[first], 64)
    fuzz(20, lambda content: read("folder:DATA", whole | {first: content + rest}), damaged(head))
