"""The archives that can be fetched by name: one entry each, from which the command line makes a verb.

Addresses and SHA-1 sums of ADE20K's scene-parsing benchmark: as the public repository dmlc/gluon-cv has recorded them
(``scripts/datasets/ade20k.py``). SHA-1 no longer keeps somebody from making *two* files of one sum, but nobody can make
another file of a given sum, which is what counts here. The publisher offers no HTTPS for them: the sum is what tells
the published file from a forged one.
"""

from dataclasses import dataclass

__all__ = ["ARCHIVES", "Archive"]


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A published zip.

    Attributes:
        name: what the command line calls it.
        about: one sentence for the help.
        url: where its publisher keeps it.
        checksum: ``algorithm:hexadecimal``.
        size: bytes; None where they are not known before the server says so.
    """

    name: str
    about: str
    url: str
    checksum: str
    size: int | None = None

    @property
    def variable(self) -> str:
        """The environment variable that names a mirror."""
        return f"SEGFIT_{self.name.upper().replace('-', '_')}_URL"


ARCHIVES = {
    archive.name: archive
    for archive in (
        Archive(
            name="ade20k",
            about="ADE20K's scene-parsing benchmark: 22,210 images and masks of 150 classes (0.97 GB).",
            url="http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
            checksum="sha1:219e1696abb36c8ba3a3afe7fb2f4b4606a897c7",
            size=967_382_037,
        ),
        Archive(
            name="ade20k-test",
            about="Test images of the same benchmark, without masks: for predict and submit.",
            url="http://data.csail.mit.edu/places/ADEchallenge/release_test.zip",
            checksum="sha1:e05747892219d10e9243933371a497e905a4860c",
        ),
    )
}
"""By name."""
