"""The description of a file to download."""

from revit.datasets.dataset_spec import RemoteFile


def test_a_checksum_has_its_algorithm() -> None:
    assert RemoteFile(url="u", path="p", md5="1").checksum == ("md5", "1")
    assert RemoteFile(url="u", path="p", sha256="2").checksum == ("sha256", "2")
