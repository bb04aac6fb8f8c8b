"""``segfit data download``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from segfit.cli.common import PATH, as_json, show_json
from segfit.curation.download.archives import ARCHIVES, Archive

if TYPE_CHECKING:
    from segfit.curation.download.dataset import Downloaded

__all__ = ["download"]


@click.group()
def download() -> None:
    """Fetch a dataset: resumed where it broke off, checked, and there as a whole or not at all."""


def _verb(archive: Archive) -> click.Command:
    """Return the command that downloads `archive`."""

    @click.command(archive.name, help=f"{archive.about}\n\nOUT becomes the dataset's folder (data.root=OUT).")
    @click.argument("out", type=PATH)
    @click.option("--url", envvar=archive.variable, show_envvar=True, help="Mirror [default: the publisher's address].")
    @click.option("--zip", "given", type=PATH, help="A zip that is already here, instead of a download.")
    @click.option("--sha256", help="Of another edition of the zip, in place of the published checksum.")
    @click.option("--keep-zip", is_flag=True, help="Keep the zip as OUT.zip.")
    @as_json
    def fetch(
        out: Path, url: str | None, given: Path | None, sha256: str | None, keep_zip: bool, as_json: bool
    ) -> None:
        from segfit.curation.download.dataset import download_archive

        by_hand = click.get_current_context().get_parameter_source("url") is ParameterSource.COMMANDLINE
        if given is not None and (keep_zip or by_hand):
            raise click.UsageError("--url and --keep-zip go with a download, not with --zip, whose file always stays")
        if sha256 is not None and (len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef")):
            raise click.UsageError("--sha256: 64 hexadecimal digits")
        with _stoppable():
            done = download_archive(archive, out, url=url, given=given, sha256=sha256, keep=keep_zip, notice=_say)
        _show(done, as_json)

    return fetch


for _archive in ARCHIVES.values():
    download.add_command(_verb(_archive))


@download.command()
@click.argument("repository")
@click.argument("out", type=PATH)
@click.option("--revision", help="Branch, tag or commit [default: the main branch].")
@click.option("--split", "splits", multiple=True, help="Only this split; may be given several times [default: all].")
@click.option("--folder", help="Folder of the repository, where parquet files lie in several.")
@as_json
def hub(
    repository: str, out: Path, revision: str | None, splits: tuple[str, ...], folder: str | None, as_json: bool
) -> None:
    """Parquet files of a Hugging Face dataset repository (needs segfit[hub]).

    REPOSITORY is OWNER/NAME; OUT becomes the dataset's folder (data.name=hub data.root=OUT).
    """
    from segfit.curation.download.repository import download_repository

    with _stoppable():
        done = download_repository(repository, out, revision=revision, splits=splits, folder=folder, notice=_say)
    _show(done, as_json)


def _show(done: "Downloaded", as_json: bool) -> None:
    from segfit.units import memory

    if as_json:
        show_json({"root": done.root, "files": done.files, "bytes": done.size, "zip": done.archive})
        return
    click.echo(f"{done.root}: {done.files:,} files, {memory(done.size)}")
    if done.archive is not None:
        click.echo(f"{done.archive}: kept")


def _say(text: str) -> None:
    click.echo(text, err=True)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Say what becomes of a download that is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        _say("stopped; what has arrived is kept beside OUT: the same command goes on there")
        raise
