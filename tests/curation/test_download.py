"""`segfit data download ade20k` against a server on this machine that fails in every way a server can."""

import contextlib
import hashlib
import io
import json
import os
import re
import resource
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from collections import namedtuple
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from segfit.curation.download import transfer
from segfit.curation.download.archives import ARCHIVES, Archive
from segfit.curation.download.dataset import download_archive
from segfit.curation.download.transfer import fetch
from segfit.errors import DataError

NOISE = np.random.default_rng(0).bytes(300_000)


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


FILES = {
    "images/training/a.jpg": NOISE[:100_000],
    "images/validation/b.jpg": NOISE[100_000:],
    "annotations/training/a.png": b"mask a",
    "annotations/validation/b.png": b"mask b",
}
ARCHIVE = zipped({f"ADEChallengeData2016/{name}": data for name, data in FILES.items()})
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()


@dataclass
class Server:
    """What the server does; the lists are used up, one entry per request."""

    data: bytes = ARCHIVE
    etag: str | None = '"one"'
    ranges: bool = True
    """Whether it understands Range."""
    break_after: list[int] = field(default_factory=list)
    """Bytes of the body after which the connection is cut."""
    statuses: list[int] = field(default_factory=list)
    """Answers without a file."""
    length: int | None = None
    """Content-Length of whole files that is not true."""
    chunked: bool = False
    unsaid: bool = False
    """Whether it keeps the length to itself, and closes the connection at the end."""
    kind: str | None = None
    """Content-Type."""
    location: str | None = None
    slow: float = 0.0
    """Seconds between blocks of 1000 bytes."""
    seen: list[dict[str, str]] = field(default_factory=list)
    """Headers of the requests."""
    url: str = ""

    def respond(self, to: BaseHTTPRequestHandler) -> None:
        self.seen.append(dict(to.headers))
        status = self.statuses.pop(0) if self.statuses else 200
        if status != 200:
            self.refuse(to, status)
            return
        start = self.start(to)
        if start >= len(self.data) > 0:
            to.send_response(416)
            to.send_header("Content-Range", f"bytes */{len(self.data)}")
            to.end_headers()
            return
        body = self.data[start:]
        to.send_response(206 if start else 200)
        if start:
            to.send_header("Content-Range", f"bytes {start}-{len(self.data) - 1}/{len(self.data)}")
        for name, value in (("Content-Type", self.kind), ("ETag", self.etag)):
            if value:
                to.send_header(name, value)
        if self.chunked:
            to.send_header("Transfer-Encoding", "chunked")
            body = b"".join(b"%x\r\n%s\r\n" % (len(b), b) for b in (body[:1000], body[1000:]) if b) + b"0\r\n\r\n"
        elif not self.unsaid:
            to.send_header("Content-Length", str(len(body) if start or self.length is None else self.length))
        to.end_headers()
        if self.break_after:
            body = body[: self.break_after.pop(0)]
        for at in range(0, len(body), 1000 if self.slow else len(body)):
            to.wfile.write(body[at : at + 1000] if self.slow else body)
            time.sleep(self.slow)

    def refuse(self, to: BaseHTTPRequestHandler, status: int) -> None:
        to.send_response(status)
        if self.location:
            to.send_header("Location", self.location)
        to.send_header("Content-Length", "0")
        to.end_headers()

    def start(self, to: BaseHTTPRequestHandler) -> int:
        wanted = re.fullmatch(r"bytes=(\d+)-", to.headers.get("Range", ""))
        if not wanted or not self.ranges or to.headers.get("If-Range", self.etag) != self.etag:
            return 0
        return int(wanted[1])


@pytest.fixture
def serve(monkeypatch):
    """Start servers that answer as the given `Server` says."""
    monkeypatch.setattr(transfer, "FIRST_WAIT", 0.001)
    running = []

    def start(context: ssl.SSLContext | None = None, **behaviour) -> Server:
        server = Server(**behaviour)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with contextlib.suppress(OSError):  # the client may have gone
                    server.respond(self)
                self.close_connection = True

            def log_message(self, *arguments):
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *arguments):
                pass

        http = Quiet(("127.0.0.1", 0), Handler)
        if context is not None:
            http.socket = context.wrap_socket(http.socket, server_side=True)
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        running.append(http)
        server.url = f"http{'s' if context else ''}://127.0.0.1:{http.server_port}/data.zip"
        return server

    yield start
    for http in running:
        http.shutdown()
        http.server_close()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- the whole way ---------------------------------------------------------------------------------------------------


def test_the_dataset_is_there_and_nothing_else(serve, cli, tmp_path):
    server = serve()
    done = cli("data", "download", "ade20k", tmp_path / "ade", "--url", server.url, "--sha256", SHA256, "--json")
    assert json.loads(done.stdout) == {
        "root": str(tmp_path / "ade"),
        "files": 4,
        "bytes": sum(map(len, FILES.values())),
        "zip": None,
    }
    assert tree(tmp_path / "ade") == FILES
    assert names(tmp_path) == ["ade"]
    assert "Range" not in server.seen[0]


def test_the_published_file_is_asked_for_and_nothing_else_is_taken(serve, tmp_path):
    server = serve()
    published = Archive(
        name="x", about="", url=server.url, checksum=f"sha1:{hashlib.sha1(ARCHIVE).hexdigest()}", size=len(ARCHIVE)
    )
    assert download_archive(published, tmp_path / "a").files == 4
    with pytest.raises(DataError, match=r"offers .* bytes, the file that is wanted has 967,382,037"):
        download_archive(ARCHIVES["ade20k"], tmp_path / "b", url=server.url)
    assert names(tmp_path) == ["a"]


def test_the_zip_is_kept_on_demand_and_then_used_instead_of_a_download(serve, cli, tmp_path):
    server = serve()
    words = "data", "download", "ade20k", tmp_path / "ade", "--url", server.url, "--sha256", SHA256
    cli(*words, "--keep-zip")
    assert names(tmp_path) == ["ade", "ade.zip"]
    assert (tmp_path / "ade.zip").read_bytes() == ARCHIVE
    shutil.rmtree(tmp_path / "ade")
    assert "used instead of a download" in cli(*words).stderr
    assert len(server.seen) == 1
    assert tree(tmp_path / "ade") == FILES
    assert names(tmp_path) == ["ade", "ade.zip"]


def test_a_zip_that_is_here_is_unpacked_and_stays(cli, tmp_path):
    mine = tmp_path / "mine.zip"
    mine.write_bytes(ARCHIVE)
    cli("data", "download", "ade20k", tmp_path / "ade", "--zip", mine, "--sha256", SHA256)
    assert tree(tmp_path / "ade") == FILES
    assert mine.is_file()
    failed = cli("data", "download", "ade20k", tmp_path / "other", "--zip", mine, check=2)
    assert "not the file that is wanted" in failed.stderr
    assert names(tmp_path) == ["ade", "mine.zip"]


def test_the_environment_names_a_mirror(serve, cli, tmp_path, monkeypatch):
    monkeypatch.setenv("SEGFIT_ADE20K_URL", serve().url)
    cli("data", "download", "ade20k", tmp_path / "ade", "--sha256", SHA256)
    assert tree(tmp_path / "ade") == FILES


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--zip", "x.zip", "--keep-zip"], "not with --zip"),
        (["--zip", "x.zip", "--url", "http://x"], "not with --zip"),
        (["--zip", "x.zip"], "cannot be read"),
        (["--sha256", "abc"], "64 hexadecimal digits"),
        (["--url", "file:///etc/passwd"], "begins with http"),
        (["--url", "http://a b/c", "--sha256", SHA256], "not an address"),
    ],
)
def test_wrong_words_are_refused_in_one_line(cli, tmp_path, words, reason):
    error = cli("data", "download", "ade20k", tmp_path / "ade", *words, check=2).stderr
    assert reason in error.splitlines()[-1]
    assert names(tmp_path) == []


@pytest.mark.parametrize("verb", [[], ["ade20k"], ["hub"]])
def test_help_imports_nothing_heavy(verb):
    program = (
        "import sys; from segfit.cli import app\n"
        f"app({['data', 'download', *verb, '--help']}, standalone_mode=False)\n"
        "assert not {'torch', 'numpy', 'pydantic', 'huggingface_hub', 'pyarrow', 'rich'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_folder_with_something_in_it_is_left_alone(cli, tmp_path):
    (tmp_path / "ade").mkdir()
    (tmp_path / "ade" / "mine.txt").write_text("precious")
    assert "something in this folder" in cli("data", "download", "ade20k", tmp_path / "ade", check=2).stderr
    assert "is a file" in cli("data", "download", "ade20k", tmp_path / "ade" / "mine.txt", check=2).stderr
    assert (tmp_path / "ade" / "mine.txt").read_text() == "precious"


# --- connections that break ------------------------------------------------------------------------------------------


def test_what_broke_off_is_resumed_byte_for_byte(serve, tmp_path):
    server = serve(break_after=[50_000, 70_000, 1])
    said = []
    part = fetch(server.url, tmp_path / "x.zip", notice=said.append)
    assert part.path.read_bytes() == ARCHIVE
    assert [seen.get("Range") for seen in server.seen] == [None, "bytes=50000-", "bytes=120000-", "bytes=120001-"]
    assert {seen.get("If-Range") for seen in server.seen[1:]} == {'"one"'}
    assert len(said) == 3
    assert "ended at 50,000 of" in said[0]
    assert "attempt 2 of 6" in said[0]


@pytest.mark.parametrize("seed", range(12))
def test_any_mixture_of_troubles_ends_with_the_whole_file(serve, tmp_path, seed):
    random = np.random.default_rng(seed)
    server = serve(
        ranges=bool(random.integers(2)),
        etag=(None, '"one"', 'W/"weak"')[random.integers(3)],
        break_after=random.integers(0, len(ARCHIVE), 3).tolist(),
        statuses=random.choice([200, 503], 2).tolist(),
    )
    assert fetch(server.url, tmp_path / "x.zip").path.read_bytes() == ARCHIVE


def test_a_later_call_goes_on_where_the_earlier_one_gave_up(serve, tmp_path):
    server = serve(break_after=[60_000] + [0] * 5)
    with pytest.raises(DataError, match="6 attempts in a row.*are kept in .*x.zip.part"):
        fetch(server.url, tmp_path / "x.zip")
    assert fetch(server.url, tmp_path / "x.zip").path.read_bytes() == ARCHIVE
    assert server.seen[-1]["Range"] == "bytes=60000-"


def test_failures_are_counted_in_a_row(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "STEP", 1000)
    server = serve(break_after=[20_000] * 12)
    assert fetch(server.url, tmp_path / "x.zip").path.read_bytes() == ARCHIVE


def test_a_server_without_ranges_is_asked_for_all_of_it_again(serve, tmp_path):
    server = serve(ranges=False, break_after=[50_000])
    said = []
    assert fetch(server.url, tmp_path / "x.zip", notice=said.append).path.read_bytes() == ARCHIVE
    assert "from its beginning" in said[-1]


def test_a_file_that_changes_meanwhile_is_never_mixed(serve, tmp_path):
    server = serve(break_after=[50_000] + [0] * 5)
    with pytest.raises(DataError):
        fetch(server.url, tmp_path / "x.zip")
    server.data, server.etag = ARCHIVE[::-1], '"two"'
    assert fetch(server.url, tmp_path / "x.zip").path.read_bytes() == ARCHIVE[::-1]


def test_a_changed_file_is_noticed_even_if_the_server_ignores_if_range(serve, tmp_path, monkeypatch):
    server = serve(break_after=[50_000] + [0] * 5)
    with pytest.raises(DataError):
        fetch(server.url, tmp_path / "x.zip")
    server.data, server.etag = ARCHIVE[::-1], '"two"'
    monkeypatch.setattr(server, "start", lambda to: 50_000 if "Range" in to.headers else 0)
    assert fetch(server.url, tmp_path / "x.zip").path.read_bytes() == ARCHIVE[::-1]


def test_a_part_from_another_address_is_not_continued(serve, tmp_path):
    first, second = serve(break_after=[50_000] + [0] * 5), serve(data=ARCHIVE[::-1])
    with pytest.raises(DataError):
        fetch(first.url, tmp_path / "x.zip")
    assert fetch(second.url, tmp_path / "x.zip").path.read_bytes() == ARCHIVE[::-1]
    assert "Range" not in second.seen[0]


def test_without_validators_the_length_decides(serve, tmp_path):
    server = serve(etag=None, break_after=[50_000])
    assert fetch(server.url, tmp_path / "x.zip").path.read_bytes() == ARCHIVE
    assert server.seen[1]["Range"] == "bytes=50000-"


def test_a_complete_part_needs_no_server(serve, tmp_path):
    server = serve()
    fetch(server.url, tmp_path / "x.zip")
    assert fetch(server.url, tmp_path / "x.zip").path.read_bytes() == ARCHIVE
    assert len(server.seen) == 1


@pytest.mark.parametrize("broken", [[], [100_000]])
def test_chunks_of_unknown_total_length_are_joined(serve, tmp_path, broken):
    server = serve(chunked=True, break_after=broken)
    assert fetch(server.url, tmp_path / "x.zip").path.read_bytes() == ARCHIVE


def test_a_server_that_is_busy_is_asked_again(serve, tmp_path):
    server = serve(statuses=[503, 429, 500])
    assert fetch(server.url, tmp_path / "x.zip").path.read_bytes() == ARCHIVE


def test_a_silent_server_is_given_up(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "TIMEOUT", 0.05)
    monkeypatch.setattr(transfer, "ATTEMPTS", 2)
    with pytest.raises(DataError, match="nothing came for 0 s"):
        fetch(serve(slow=1.0).url, tmp_path / "x.zip")


def test_a_server_that_is_not_there_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "FIRST_WAIT", 0.0)
    with pytest.raises(DataError, match="no connection"):
        fetch("http://127.0.0.1:9/x.zip", tmp_path / "x.zip")


# --- servers that lie ------------------------------------------------------------------------------------------------


def test_a_length_that_is_too_long_ends_in_one_line(serve, cli, tmp_path):
    server = serve(length=len(ARCHIVE) + 1000, ranges=False)
    words = "data", "download", "ade20k", tmp_path / "ade", "--url", server.url, "--sha256", SHA256
    error = cli(*words, check=2).stderr.splitlines()[-1]
    assert f"ended at {len(ARCHIVE):,} of {len(ARCHIVE) + 1000:,} bytes (6 attempts in a row)" in error
    assert names(tmp_path) == ["ade.zip.part", "ade.zip.part.json"]
    server.length = None
    cli(*words)
    assert names(tmp_path) == ["ade"]


def test_more_than_the_expected_bytes_are_not_taken(serve, tmp_path):
    asked = []
    target = tmp_path / "x.zip"
    size = len(ARCHIVE)
    part = fetch(serve(unsaid=True).url, target, size=size, accept=lambda *call: asked.append(call))
    assert part.path.read_bytes() == ARCHIVE
    assert asked == [(size, size)]
    part.forget()
    endless = serve(data=ARCHIVE * 20, unsaid=True)
    with pytest.raises(DataError, match=rf"sends more than the {size:,} bytes .* another address with --url"):
        fetch(endless.url, target, size=size)
    assert len(endless.seen) == 1
    assert names(tmp_path) == []


def test_what_ends_too_early_is_incomplete_even_if_the_server_did_not_say(serve, tmp_path):
    server = serve(unsaid=True, break_after=[50_000])
    assert fetch(server.url, tmp_path / "x.zip", size=len(ARCHIVE)).path.read_bytes() == ARCHIVE
    assert len(server.seen) == 2


def test_room_is_looked_for_all_the_time_where_nobody_knows_the_size(serve, tmp_path):
    def accept(_coming: int, total: int) -> None:
        if total > 200_000:
            raise DataError("the disk is full")

    with pytest.raises(DataError, match="the disk is full"):
        fetch(serve(unsaid=True).url, tmp_path / "x.zip", accept=accept)
    assert (tmp_path / "x.zip.part").stat().st_size <= 200_000


def test_a_server_that_corrects_its_length_is_believed(serve, tmp_path):
    server = serve(length=len(ARCHIVE) + 1000)
    assert fetch(server.url, tmp_path / "x.zip").path.read_bytes() == ARCHIVE
    assert server.seen[1]["Range"] == f"bytes={len(ARCHIVE)}-"


def test_a_length_that_is_too_short_ends_in_one_line(serve, cli, tmp_path):
    server = serve(length=len(ARCHIVE) - 1)
    words = "data", "download", "ade20k", tmp_path / "ade", "--url", server.url, "--sha256"
    assert "not the file that is wanted" in cli(*words, SHA256, check=2).stderr
    assert names(tmp_path) == []
    short = hashlib.sha256(ARCHIVE[:-1]).hexdigest()
    assert "not a zip archive" in cli(*words, short, check=2).stderr
    assert names(tmp_path) == []


def test_a_wrong_checksum_leaves_nothing(serve, cli, tmp_path):
    server = serve(data=ARCHIVE[:-1] + b"x")
    words = "data", "download", "ade20k", tmp_path / "ade", "--url", server.url, "--sha256", SHA256
    assert "sha256" in cli(*words, check=2).stderr
    assert names(tmp_path) == []


def test_a_web_page_does_not_replace_what_is_there(serve, tmp_path):
    server = serve(break_after=[50_000] + [0] * 5)
    with pytest.raises(DataError):
        fetch(server.url, tmp_path / "x.zip")
    server.data, server.etag, server.kind = b"<html>please log in</html>", None, "text/html; charset=utf-8"
    server.ranges = False
    with pytest.raises(DataError, match="web page instead of the file"):
        fetch(server.url, tmp_path / "x.zip")
    server.data, server.etag, server.kind, server.ranges = ARCHIVE, '"one"', None, True
    assert fetch(server.url, tmp_path / "x.zip").path.read_bytes() == ARCHIVE
    assert server.seen[-1]["Range"] == "bytes=50000-"


@pytest.mark.parametrize(("status", "reason"), [(404, "404 Not Found"), (403, "403 Forbidden"), (301, "redirects")])
def test_refusals_are_final(serve, tmp_path, status, reason):
    server = serve(statuses=[status] * 9)
    with pytest.raises(DataError, match=reason):
        fetch(server.url, tmp_path / "x.zip")
    assert len(server.seen) == 1


def test_redirections_are_followed_but_not_in_circles(serve, tmp_path):
    there = serve()
    here = serve(statuses=[302], location=there.url)
    assert fetch(here.url, tmp_path / "x.zip").path.read_bytes() == ARCHIVE
    loop = serve(statuses=[302] * 50)
    loop.location = loop.url
    with pytest.raises(DataError, match="in circles"):
        fetch(loop.url, tmp_path / "y.zip")
    assert len(loop.seen) < 12


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirections_away_from_the_web_are_not_followed(serve, tmp_path, address):
    with pytest.raises(DataError, match="redirects"):
        fetch(serve(statuses=[302], location=address).url, tmp_path / "x.zip")


def test_proxies_are_taken_from_the_environment(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", serve().url.removesuffix("/data.zip"))
    monkeypatch.delenv("no_proxy", raising=False)
    assert fetch("http://mirror.invalid/x.zip", tmp_path / "x.zip").path.read_bytes() == ARCHIVE


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory) -> ssl.SSLContext:
    """A certificate that nobody vouches for."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    folder = tmp_path_factory.mktemp("certificate")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=x -keyout key -out cert"
    subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    return context


def test_certificates_are_verified(serve, self_signed, tmp_path):
    with pytest.raises(DataError, match="certificate is not valid"):
        fetch(serve(self_signed).url, tmp_path / "x.zip")


def test_nothing_leads_from_https_to_http(serve, self_signed, tmp_path, monkeypatch):
    monkeypatch.setattr(ssl, "_create_default_https_context", ssl._create_unverified_context)
    secure, plain = serve(self_signed, statuses=[302]), serve()
    secure.location = plain.url
    with pytest.raises(DataError, match="is not followed"):
        fetch(secure.url, tmp_path / "x.zip")
    assert not plain.seen


# --- disks and processes ---------------------------------------------------------------------------------------------


def test_room_is_looked_for_first(serve, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(0, 0, 2_000_000_000))
    with pytest.raises(DataError, match=r"needs 2\.0 GB of disk space, 1\.9 GB are free"):
        download_archive(ARCHIVES["ade20k"], tmp_path / "ade", url="http://127.0.0.1:9/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(0, 0, 2**26 + 2 * len(ARCHIVE)))
    server = serve()
    with pytest.raises(DataError, match="of disk space"):
        download_archive(ARCHIVES["ade20k"], tmp_path / "ade", url=server.url, sha256=SHA256)
    assert names(tmp_path) == []


@contextlib.contextmanager
def files_no_longer_than(size: int):
    """Let every write beyond fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_meanwhile_keeps_the_part(serve, tmp_path):
    server = serve()
    with files_no_longer_than(100_000), pytest.raises(DataError, match="File too large: make room"):
        fetch(server.url, tmp_path / "x.zip")
    assert (tmp_path / "x.zip.part").read_bytes() == ARCHIVE[:100_000]
    assert fetch(server.url, tmp_path / "x.zip").path.read_bytes() == ARCHIVE
    assert server.seen[-1]["Range"] == "bytes=100000-"


def test_a_disk_that_fills_up_while_unpacking_keeps_the_download(serve, tmp_path):
    server, large = serve(), len(FILES["images/validation/b.jpg"])
    fetch(server.url, tmp_path / "ade.zip")
    with files_no_longer_than(large - 1), pytest.raises(DataError, match=r"b\.jpg: cannot be written"):
        download_archive(ARCHIVES["ade20k"], tmp_path / "ade", url=server.url, sha256=SHA256)
    assert names(tmp_path) == ["ade.zip.part", "ade.zip.part.json"]
    download_archive(ARCHIVES["ade20k"], tmp_path / "ade", url=server.url, sha256=SHA256)
    assert tree(tmp_path / "ade") == FILES
    assert len(server.seen) == 1


def start_command(server: Server, out: Path) -> subprocess.Popen:
    words = ["data", "download", "ade20k", str(out), "--url", server.url, "--sha256", SHA256]
    return subprocess.Popen(
        [sys.executable, "-m", "segfit", *words], stderr=subprocess.PIPE, text=True, env={**os.environ, "RANK": "0"}
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_ended_process_loses_nothing(serve, cli, tmp_path, number):
    server = serve(slow=0.02)
    process, part = start_command(server, tmp_path / "ade"), tmp_path / "ade.zip.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size > 20_000):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    if number == signal.SIGKILL:  # while it runs, nobody else may write there
        busy = cli("data", "download", "ade20k", tmp_path / "ade", "--url", server.url, "--sha256", SHA256, check=2)
        assert "another process" in busy.stderr
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -9)
    assert ("the same command goes on there" in error) == (number == signal.SIGINT)
    kept = part.stat().st_size
    server.slow = 0.0
    cli("data", "download", "ade20k", tmp_path / "ade", "--url", server.url, "--sha256", SHA256)
    assert server.seen[-1]["Range"] == f"bytes={kept}-"
    assert tree(tmp_path / "ade") == FILES
    assert names(tmp_path) == ["ade"]
