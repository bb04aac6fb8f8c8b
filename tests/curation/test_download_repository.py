"""`segfit data download hub` against the few addresses of the hub that the library asks for."""

import hashlib
import json
import shutil
import sys
import threading
from collections import namedtuple
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from segfit.curation.download import repository
from segfit.curation.download.repository import download_repository
from segfit.errors import DataError

pytest.importorskip("huggingface_hub")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAMES = b'{"0": "wall", "1": "sky"}'


@dataclass
class Hub:
    """A hub with one repository, ``owner/scenes``."""

    files: dict[str, bytes]
    lies: dict[str, bytes] = field(default_factory=dict)
    """What is sent instead of a file."""
    refuse: tuple[int, str] | None = None
    """Status and error code of every answer."""
    seen: list[str] = field(default_factory=list)
    address: str = ""

    def respond(self, to: BaseHTTPRequestHandler) -> None:
        self.seen.append(f"{to.command} {to.path}")
        head, _, name = to.path.partition(f"/resolve/{COMMIT}/")
        if self.refuse is not None:
            self.send(to, b"", status=self.refuse[0], headers={"X-Error-Code": self.refuse[1]})
        elif to.path.startswith("/api/datasets/owner/scenes"):
            self.send(to, json.dumps(self.about()).encode(), headers={"Content-Type": "application/json"})
        elif head == "/datasets/owner/scenes" and name in self.files:
            data = self.lies.get(name, self.files[name])
            etag = hashlib.sha256(self.files[name]).hexdigest()
            self.send(to, data, headers={"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
        else:
            self.send(to, b"", status=404, headers={"X-Error-Code": "EntryNotFound"})

    def about(self) -> dict:
        siblings = [
            {
                "rfilename": name,
                "size": len(data),
                "lfs": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 100},
            }
            for name, data in self.files.items()
        ]
        return {"id": "owner/scenes", "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}

    @staticmethod
    def send(to: BaseHTTPRequestHandler, body: bytes, *, status: int = 200, headers: dict[str, str]) -> None:
        to.send_response(status)
        # Said, not just done: a client would send its next question down a connection that is about to be closed.
        for key, value in {**headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
            to.send_header(key, value)
        to.end_headers()
        if to.command == "GET":
            to.wfile.write(body)


@pytest.fixture
def hub():
    """Start hubs with the given files."""
    running = []

    def start(files: dict[str, bytes], **behaviour) -> Hub:
        hub = Hub(files, **behaviour)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub.respond(self)

            do_HEAD = do_GET

            def log_message(self, *arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running.append(server)
        hub.address = f"http://127.0.0.1:{server.server_port}"
        return hub

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


FILES = {
    "README.md": b"# Scenes",
    "id2label.json": NAMES,
    "data/train-00000-of-00002.parquet": b"PAR1 train 0",
    "data/train-00001-of-00002.parquet": b"PAR1 train 1",
    "data/validation-00000-of-00001.parquet": b"PAR1 validation",
}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_parquet_files_and_the_names_are_there(hub, tmp_path):
    there = hub(FILES)
    done = download_repository("owner/scenes", tmp_path / "out", endpoint=there.address)
    assert tree(tmp_path / "out") == {name: data for name, data in FILES.items() if name != "README.md"}
    assert (done.files, done.root) == (4, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_splits_and_revisions_are_chosen(hub, tmp_path):
    there = hub(FILES)
    download_repository("owner/scenes", tmp_path / "out", revision="v1", splits=["validation"], endpoint=there.address)
    assert sorted(tree(tmp_path / "out")) == ["data/validation-00000-of-00001.parquet", "id2label.json"]
    assert "/api/datasets/owner/scenes/revision/v1" in there.seen[0]
    with pytest.raises(DataError, match=r"no split 'val' \(did you mean 'validation'\?\)|no split 'val'"):
        download_repository("owner/scenes", tmp_path / "b", splits=["val"], endpoint=there.address)


def test_one_of_several_folders_is_chosen(hub, tmp_path):
    there = hub({"full/train.parquet": b"1", "parts/train.parquet": b"2", "id2label.json": NAMES})
    with pytest.raises(DataError, match="parquet files in full, parts: choose one with --folder"):
        download_repository("owner/scenes", tmp_path / "out", endpoint=there.address)
    download_repository("owner/scenes", tmp_path / "out", folder="parts", endpoint=there.address)
    assert tree(tmp_path / "out") == {"train.parquet": b"2", "id2label.json": NAMES}
    with pytest.raises(DataError, match="no parquet files in the folder 'ful'.*did you mean 'full'"):
        download_repository("owner/scenes", tmp_path / "b", folder="ful", endpoint=there.address)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_second_call_fetches_only_what_is_missing(hub, tmp_path):
    broken = "data/validation-00000-of-00001.parquet"
    there = hub(FILES, lies={broken: b"PAR1 va1idation"})
    with pytest.raises(DataError, match="validation-00000-of-00001.parquet: came damaged"):
        download_repository("owner/scenes", tmp_path / "out", endpoint=there.address)
    assert not (tmp_path / "out").exists()
    there.lies.clear()
    there.seen.clear()
    download_repository("owner/scenes", tmp_path / "out", endpoint=there.address)
    assert [line for line in there.seen if line.startswith("GET /datasets")] == [
        f"GET /datasets/owner/scenes/resolve/{COMMIT}/{broken}"
    ]
    assert (tmp_path / "out" / broken).read_bytes() == FILES[broken]


@pytest.mark.parametrize(
    ("refuse", "reason"),
    [
        ((404, "RepoNotFound"), "no such dataset repository"),
        ((404, "RevisionNotFound"), "no such revision"),
        ((403, "GatedRepo"), "access on request"),
        ((400, ""), "the download failed"),
    ],
)
def test_refusals_are_explained_in_one_line(hub, tmp_path, refuse, reason):
    there = hub(FILES, refuse=refuse)
    with pytest.raises(DataError, match=reason) as caught:
        download_repository("owner/scenes", tmp_path / "out", endpoint=there.address)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../evil.parquet", "/evil.parquet", "data/../../evil.parquet", "a\\..\\evil.parquet"])
def test_names_that_lead_out_of_the_folder_are_refused(hub, tmp_path, name):
    there = hub({**FILES, name: b"x"})
    with pytest.raises(DataError, match="leads out of the folder"):
        download_repository("owner/scenes", tmp_path / "out", endpoint=there.address)


def test_a_repository_without_parquet_is_refused(hub, tmp_path):
    with pytest.raises(DataError, match=r"no \.parquet files"):
        download_repository("owner/scenes", tmp_path / "out", endpoint=hub({"images.zip": b""}).address)
    with pytest.raises(DataError, match="not a repository"):
        download_repository("a/b/c", tmp_path / "out")


def test_room_is_looked_for_first(hub, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(0, 0, 2**26))
    there = hub(FILES)
    with pytest.raises(DataError, match="of disk space"):
        download_repository("owner/scenes", tmp_path / "out", endpoint=there.address)
    assert len(there.seen) == 1


def test_what_has_arrived_needs_no_room_again(hub, tmp_path, monkeypatch):
    broken = "data/validation-00000-of-00001.parquet"
    there = hub(FILES, lies={broken: b"PAR1 va1idation"})
    with pytest.raises(DataError, match="came damaged"):
        download_repository("owner/scenes", tmp_path / "out", endpoint=there.address)
    there.lies.clear()
    asked: list[int] = []
    monkeypatch.setattr(repository, "require_room", lambda _out, needed, _purpose: asked.append(needed))
    download_repository("owner/scenes", tmp_path / "out", endpoint=there.address)
    assert asked == [len(FILES[broken])]


def test_what_was_verified_stays_if_the_folder_is_taken_meanwhile(hub, tmp_path, monkeypatch):
    there, out = hub(FILES), tmp_path / "out"

    def intrude(path: Path, file: repository.Remote) -> None:
        verify(path, file)
        out.mkdir(exist_ok=True)
        (out / "mine.txt").write_text("precious")

    verify = repository._verify
    monkeypatch.setattr(repository, "_verify", intrude)
    with pytest.raises(DataError, match="something in this folder"):
        download_repository("owner/scenes", out, endpoint=there.address)
    assert tree(out) == {"mine.txt": b"precious"}
    shutil.rmtree(out)
    monkeypatch.undo()
    there.seen.clear()
    download_repository("owner/scenes", out, endpoint=there.address)
    assert sorted(tree(out)) == sorted(name for name in FILES if name != "README.md")
    assert not [line for line in there.seen if line.startswith("GET /datasets")], "nothing is fetched twice"


@pytest.mark.parametrize("links", [True, False])
def test_a_failure_while_the_folder_is_made_loses_nothing(hub, tmp_path, monkeypatch, links):
    there, out = hub(FILES), tmp_path / "out"
    link, made = Path.hardlink_to, []

    def hardlink_to(place: Path, file: Path) -> None:
        made.append(place)
        if not links:
            raise PermissionError
        link(place, file)

    monkeypatch.setattr(Path, "hardlink_to", hardlink_to)
    if links:
        monkeypatch.setattr(Path, "rename", lambda _self, _target: (_ for _ in ()).throw(OSError("broken disk")))
        with pytest.raises(OSError, match="broken disk"):
            download_repository("owner/scenes", out, endpoint=there.address)
        monkeypatch.undo()
        assert len(tree(tmp_path / "out.part")) >= len(made) == 4
    download_repository("owner/scenes", out, endpoint=there.address)
    assert tree(out) == {name: data for name, data in FILES.items() if name != "README.md"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DataError, match=r"pip install 'segfit\[hub\]'"):
        download_repository("owner/scenes", tmp_path / "out")


def test_the_command_asks_the_address_of_the_environment(hub, command, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub(FILES).address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    done = command("data", "download", "hub", "owner/scenes", tmp_path / "out", "--split", "train", "--json")
    facts = json.loads(done.stdout)
    assert facts == {"root": str(tmp_path / "out"), "files": 3, "bytes": 49, "zip": None}
    assert (tmp_path / "out" / "id2label.json").read_bytes() == NAMES
