"""The decoded cache: what is in it, that it is never half written or stale, and how little is done twice."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import segfit
from segfit.data import Record
from segfit.data.ade20k import Ade20k
from segfit.data.cache import Cache, Plan, prepare, verify
from segfit.data.cache.shard import Shard
from segfit.data.decode import read_image
from segfit.data.disk import SPARE
from segfit.data.folder import Folder
from segfit.errors import DataError, RunError
from segfit.labels import select

RNG = np.random.default_rng(0)
SMALL = ["train.epochs=1", "train.workers=0", "data.limit_train=4", "data.limit_validation=1", "train.batch=2"]


def smooth(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows % 256, columns % 256, (rows + 2 * columns) % 256], axis=-1).astype(np.uint8)


def blobs(height: int, width: int, ids: int = 5) -> np.ndarray:
    coarse = RNG.integers(0, ids, (-(-height // 8), -(-width // 8)))
    return np.kron(coarse, np.ones((8, 8), int))[:height, :width]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Seven training and two validation pairs of different sizes, as PNG and JPEG."""
    root = tmp_path / "dataset"
    for split, count in (("train", 7), ("val", 2)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for i in range(count):
            height, width = 40 + 9 * i, 90 - 7 * i
            ending = "jpg" if i % 2 else "png"
            Image.fromarray(smooth(height, width)).save(root / "images" / split / f"{i}.{ending}", quality=95)
            Image.fromarray(blobs(height, width).astype(np.uint8)).save(root / "masks" / split / f"{i}.png")
    (root / "classes.txt").write_text("a\nb\nc\nd\ne\n")
    return Folder(root)


def splits(source: Folder | Ade20k, *names: str) -> dict[str, list[Record]]:
    return {name: source.records(name) for name in names or ("train",)}


def nearest(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, columns = (
        np.floor((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in ((height, mask.shape[0]), (width, mask.shape[1]))
    )
    return mask[rows[:, None], columns]


def plan_of(*arguments: object, **options: object) -> Plan:
    plans: list[Plan] = []
    prepare(*arguments, announce=plans.append, **options)  # type: ignore[arg-type]
    return plans[0]


# --- what is in it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("short_side", [31, 48, 500])
@pytest.mark.parametrize("quality", [None, 95])
def test_what_went_in_comes_out(folder: Folder, tmp_path: Path, short_side: int, quality: int | None) -> None:
    records = folder.records("train")
    out = prepare(folder, splits(folder), tmp_path / "c", short_side=short_side, jpeg_quality=quality, per_shard=3)
    cache = Cache.open(out, records)
    assert len(cache) == len(records) == 7
    for i, record in enumerate(records):
        image, mask = cache.read(i)
        full = read_image(record.image)
        factor = min(1, short_side / min(full.shape[:2]))
        height, width = (round(side * factor) for side in full.shape[:2])
        assert image.shape == (height, width, 3)
        assert image.dtype == mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, nearest(folder.read_mask(record), height, width))
        shrunk = cv2.resize(full, (width, height), interpolation=cv2.INTER_AREA) if factor < 1 else full
        if quality is None:
            np.testing.assert_array_equal(image, shrunk)
        else:
            assert np.abs(image.astype(int) - shrunk).mean() < 6


def test_a_jpeg_that_fits_is_kept_as_it_is_with_its_orientation(folder: Folder, tmp_path: Path) -> None:
    records = [record for record in folder.records("train") if record.image.suffix == ".jpg"]
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(smooth(*folder.read_mask(records[0]).T.shape)).save(records[0].image, exif=turned)
    cache = Cache.open(prepare(folder, {"train": records}, tmp_path / "c", jpeg_quality=100), records)
    for i, record in enumerate(records):
        np.testing.assert_array_equal(cache.read(i)[0], read_image(record.image))


@pytest.mark.parametrize("quality", [None, 90])
def test_masks_of_16_bits(tmp_path: Path, quality: int | None) -> None:
    root = tmp_path / "dataset"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    mask = blobs(33, 50, 900).astype(np.uint16)
    Image.fromarray(smooth(33, 50)).save(root / "images" / "a.png")
    Image.fromarray(mask).save(root / "masks" / "a.png")
    (root / "classes.txt").write_text("\n".join(f"class {i}" for i in range(900)))
    source = Folder(root)
    records = source.records(".")
    out = prepare(source, {".": records}, tmp_path / "c", short_side=20, jpeg_quality=quality)
    found = Cache.open(out, records).read(0)[1]
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, nearest(mask, 20, 30))


def test_one_cache_serves_every_choice_of_classes(scenes: Path, tmp_path: Path) -> None:
    source = Ade20k(scenes)
    records = source.records("training")
    cache = Cache.open(prepare(source, {"training": records}, tmp_path / "c"), records)
    for top in (3, 20):
        space = select(source.labels, top=top)
        for i, record in enumerate(records[:3]):
            np.testing.assert_array_equal(space.encode(cache.read(i)[1]), space.encode(source.read_mask(record)))


def test_any_selection_in_any_order_and_a_moved_dataset(folder: Folder, tmp_path: Path) -> None:
    out = prepare(folder, splits(folder, "train", "val"), tmp_path / "c", per_shard=2)
    moved = shutil.copytree(folder.root, tmp_path / "elsewhere" / "copy")  # keeps modification times
    (moved / "some.txt").write_text("train/5\nval/1\ntrain/2\n")
    listed = Folder(moved).records("some.txt")
    chosen = [listed[2], listed[0], listed[1], listed[0]]
    cache = Cache.open(out, chosen)
    for i, record in enumerate(chosen):
        np.testing.assert_array_equal(cache.read(i)[0], read_image(record.image))
        np.testing.assert_array_equal(cache.read(i)[1], folder.read_mask(record))


def test_it_can_be_sent_to_a_worker(folder: Folder, tmp_path: Path) -> None:
    records = folder.records("train")
    cache = Cache.open(prepare(folder, splits(folder), tmp_path / "c"), records)
    image, mask = cache.read(3)
    again = pickle.loads(pickle.dumps(cache))
    other = again.read(3)
    np.testing.assert_array_equal(image, other[0])
    np.testing.assert_array_equal(mask, other[1])
    assert not image.flags.writeable, "a view of the file"
    assert image.base is not None
    assert len(pickle.dumps(cache)) < 5000


def test_reading_many_records_does_not_make_the_process_look_larger(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for i in range(12):
        Image.fromarray(RNG.integers(0, 256, (600, 700, 3), dtype=np.uint8)).save(
            root / "images" / f"{i}.png", compress_level=0
        )
        Image.fromarray(np.zeros((600, 700), np.uint8)).save(root / "masks" / f"{i}.png")
    (root / "classes.txt").write_text("a\n")
    source = Folder(root)
    records = source.records(".")
    cache = Cache.open(prepare(source, {".": records}, tmp_path / "c", short_side=600), records)

    def mapped() -> int:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssFile"))

    cache.read(0)[0].sum()
    before = mapped()
    for i in range(12):
        cache.read(i)[0].sum()
    assert mapped() - before < 3 * 600 * 700 * 4


# --- bad data and bad folders ----------------------------------------------------------------------------------------


def test_bad_masks_are_refused_by_name_and_nothing_remains(folder: Folder, tmp_path: Path) -> None:
    record = folder.records("train")[4]
    good = folder.read_mask(record)
    for bad, message in ((np.full_like(good, 77), "label id 77 is neither"), (good[:-1], "both need one size")):
        Image.fromarray(bad).save(record.mask)
        with pytest.raises(DataError, match=rf"4\.png.*{message}"):
            prepare(folder, splits(folder), tmp_path / "c")
        assert not (tmp_path / "c").exists()


def test_folders_that_are_no_cache(folder: Folder, tmp_path: Path) -> None:
    records = folder.records("train")
    with pytest.raises(DataError, match="no such folder.*segfit data prepare"):
        Cache.open(tmp_path / "absent", records)
    out = prepare(folder, splits(folder), tmp_path / "c")
    manifest = out / "manifest.json"
    text = manifest.read_text()
    for content, message in (
        (text.replace('"version": 1', '"version": 99'), "version 99.*reads version 1"),
        (text.replace('"splits"', '"spilts"'), "damaged"),
        (text[:-20], "not the manifest"),
        ("[1]", "not the manifest"),
    ):
        manifest.write_text(content)
        with pytest.raises(DataError, match=message):
            Cache.open(out, records)
    manifest.unlink()
    with pytest.raises(DataError, match="not a complete cache"):
        Cache.open(out, records)
    (out / "holiday.jpg").touch()
    with pytest.raises(DataError, match=r"not a cache, but has 'holiday\.jpg'"):
        prepare(folder, splits(folder), out)


def test_other_settings_need_another_folder(folder: Folder, tmp_path: Path) -> None:
    out = prepare(folder, splits(folder), tmp_path / "c", short_side=48)
    with pytest.raises(DataError, match="holds a cache with short side 48, raw: choose another folder"):
        prepare(folder, splits(folder), out, short_side=48, jpeg_quality=90)


def test_two_writers_do_not_meet(folder: Folder, tmp_path: Path) -> None:
    out = tmp_path / "c"
    refused: list[str] = []

    def second(_plan: Plan) -> None:
        with pytest.raises(DataError, match="another process is writing it") as error:
            prepare(folder, splits(folder, "val"), out)
        refused.append(str(error.value))

    prepare(folder, splits(folder), out, announce=second)
    assert len(refused) == 1
    prepare(folder, splits(folder, "val"), out)
    Cache.open(out, [*folder.records("train"), *folder.records("val")]), "no one's split is lost"


def test_nothing_but_the_cache_is_written_to(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder above it may belong to somebody else."""
    out = tmp_path / "above" / "c"
    out.mkdir(parents=True)
    seen: list[list[str]] = []
    prepare(
        folder, splits(folder), out, announce=lambda _plan: seen.append([path.name for path in out.parent.iterdir()])
    )
    assert seen == [["c"]]
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "train-00000.shard"]
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    prepare(folder, splits(folder), Path())
    assert (here / "manifest.json").exists()
    with pytest.raises(DataError, match="above: a file|cannot be created"):
        prepare(folder, splits(folder), out / "manifest.json" / "c")


def test_no_folders_remain_where_nothing_was_written(folder: Folder, tmp_path: Path) -> None:
    folder.records("train")[0].image.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"0\.png"):
        prepare(folder, splits(folder), tmp_path / "a" / "b" / "c")
    assert not (tmp_path / "a").exists()


def test_another_colour_table_is_another_cache(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(root / kind / "a.png")
    (root / "colors.csv").write_text("0,0,0,dark\n9,9,9,bright\n")
    source = Folder(root, colors="colors.csv")
    records = source.records(".")
    out = prepare(source, {".": records}, tmp_path / "c")
    Cache.open(out, records, source)
    (root / "colors.csv").write_text("9,9,9,bright\n0,0,0,dark\n")
    with pytest.raises(DataError, match="another colour table"):
        Cache.open(out, records, Folder(root, colors="colors.csv"))
    with pytest.raises(DataError, match="other classes or colours"):
        prepare(Folder(root, colors="colors.csv"), {".": records}, out)


# --- changes and damage ----------------------------------------------------------------------------------------------


def test_a_changed_source_is_refused_by_name_and_only_its_shard_renewed(folder: Folder, tmp_path: Path) -> None:
    records = folder.records("train")
    out = prepare(folder, splits(folder), tmp_path / "c", per_shard=2)
    os.utime(records[3].mask, ns=(1, 1))
    with pytest.raises(DataError, match=r"train/3\.jpg.*changed since"):
        Cache.open(out, records)
    Cache.open(out, records[:3]), "the others still serve"
    plan = plan_of(folder, splits(folder), out, per_shard=2)
    assert (plan.records, plan.kept) == (7, 5)
    Cache.open(out, records)
    records[5].image.unlink()
    with pytest.raises(DataError, match=r"5\.jpg.*restore"):
        Cache.open(out, records)


def test_a_file_that_changes_while_it_is_read_is_refused_and_renewed(folder: Folder, tmp_path: Path) -> None:
    records, out = folder.records("train"), tmp_path / "c"
    prepare(folder, splits(folder), out, per_shard=2, announce=lambda _plan: os.utime(records[3].image, ns=(1, 1)))
    with pytest.raises(DataError, match=r"train/3\.jpg.*changed since"):
        Cache.open(out, records)
    assert plan_of(folder, splits(folder), out, per_shard=2).kept == 5
    Cache.open(out, records)


def test_a_cache_that_is_renewed_while_it_is_read_gives_no_wrong_pixels(folder: Folder, tmp_path: Path) -> None:
    records = folder.records("train")
    out = prepare(folder, splits(folder), tmp_path / "c", per_shard=2)
    cache = Cache.open(out, records)
    before = cache.read(0)[0].copy()
    for record in (records[0], records[3]):
        Image.fromarray(255 - read_image(record.image)).save(record.image)
    prepare(folder, splits(folder), out, per_shard=2)
    np.testing.assert_array_equal(cache.read(0)[0], before)
    cache.read(4), "its shard is the same"
    for reader, index in ((cache, 3), (pickle.loads(pickle.dumps(cache)), 0)):
        with pytest.raises(DataError, match=r"shard: written anew since .* start it again"):
            reader.read(index)
    assert (Cache.open(out, records).read(0)[0] == 255 - before).all()


def test_a_run_goes_on_only_from_a_cache_of_the_same_pixels(tiny_recipe, scenes: Path, tmp_path: Path) -> None:
    out, source = tmp_path / "c", Ade20k(scenes)

    def renew(**settings: int) -> None:
        shutil.rmtree(out, ignore_errors=True)
        prepare(source, splits(source, "training"), out, **settings)

    def go_on(epochs: int) -> None:
        segfit.resume(run, overrides=[f"train.epochs={epochs}"])

    renew(short_side=64)
    run = segfit.train(tiny_recipe, tmp_path / "run", overrides=[f"data.cache={out}", *SMALL])
    environment = json.loads((run / "environment.json").read_text())
    assert environment["dataset"]["cache"] == {"short_side": 64, "jpeg_quality": None}
    renew(short_side=64, jpeg_quality=90)
    with pytest.raises(RunError, match=r"began with a cache of .*quality=None, which now has .*quality=90: prepare it"):
        go_on(2)
    del environment["dataset"]["cache"]
    (run / "environment.json").write_text(json.dumps(environment))
    go_on(2), "runs of earlier versions do not say"
    renew(short_side=32, jpeg_quality=90)
    with pytest.raises(RunError, match=r"began with a cache of short_side=64.* now has short_side=32"):
        go_on(3)


def test_records_that_the_cache_lacks(folder: Folder, tmp_path: Path) -> None:
    out = prepare(folder, splits(folder), tmp_path / "c")
    with pytest.raises(DataError, match=r"val/0\.png: not in the cache .* holds train"):
        Cache.open(out, folder.records("val"))
    plan = plan_of(folder, splits(folder, "val"), out)
    assert (plan.records, plan.kept) == (2, 0)
    Cache.open(out, [*folder.records("val"), *folder.records("train")])


def test_damage_is_found_and_mended(folder: Folder, tmp_path: Path) -> None:
    records = folder.records("train")
    out = prepare(folder, splits(folder), tmp_path / "c", per_shard=2)
    assert verify(out) == 4
    whole = {path.name: path.read_bytes() for path in out.iterdir()}
    shard = out / "train-00001.shard"
    middle = len(whole[shard.name]) // 2

    def flip(data: bytes, at: int) -> bytes:
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    original = whole[shard.name]
    for data in (flip(original, middle), flip(original, 70), flip(original, 20), original[:-1], b""):
        shard.write_bytes(data)
        with pytest.raises(DataError, match=r"train-00001\.shard: damaged \(1 of 4"):
            verify(out)
        if data[:200] != original[:200] or len(data) != len(original):
            with pytest.raises(DataError, match=r"train-00001\.shard: missing or damaged"):
                Cache.open(out, records)
        assert plan_of(folder, splits(folder), out, per_shard=2).kept == 5
        assert {path.name: path.read_bytes() for path in out.iterdir()} == whole


def test_a_damaged_jpeg_is_an_error_with_the_shards_name(folder: Folder, tmp_path: Path) -> None:
    records = folder.records("train")
    out = prepare(folder, splits(folder), tmp_path / "c", jpeg_quality=90)
    cache = Cache.open(out, records)
    path = out / "train-00000.shard"
    entry = Shard.read(path).entries[0]
    with path.open("r+b") as file:
        file.seek(int(entry["image"]))
        file.write(bytes(int(entry["image_bytes"])))
    with pytest.raises(DataError, match=r"train-00000\.shard: damaged.*segfit data prepare"):
        cache.read(0)


# --- interruptions ---------------------------------------------------------------------------------------------------

SCRIPT = """
import resource, sys, time
from pathlib import Path
from segfit.data.cache import prepare
from segfit.data.folder import Folder
from segfit.errors import DataError

root, out, limit, pause = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
source = Folder(Path(root))
try:
    prepare(source, {"train": source.records("train")}, out, per_shard=2, workers=1,
            progress=lambda done, total: (print(done, flush=True), time.sleep(float(pause))))
except DataError as error:
    sys.exit(str(error))
"""


def start(source: Folder, out: Path, *, limit: int = 0, pause: float = 0.0) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", SCRIPT, str(source.root), str(out), str(limit), str(pause)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_command_is_gone_on_with(folder: Folder, tmp_path: Path) -> None:
    out = tmp_path / "c"
    process = start(folder, out, pause=0.2)
    for line in process.stdout:
        if line.strip() == "5":
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "manifest.json").exists()
    assert list(out.glob(".train-*.shard.*")), "it died with a shard half written"
    with pytest.raises(DataError, match="not a complete cache"):
        Cache.open(out, folder.records("train"))
    before = (out / "train-00000.shard").stat().st_mtime_ns
    assert plan_of(folder, splits(folder), out, per_shard=2).kept == 4
    assert (out / "train-00000.shard").stat().st_mtime_ns == before, "what was whole is not written again"
    assert sorted(path.name for path in out.iterdir()) == [
        "manifest.json",
        *(f"train-{i:05}.shard" for i in range(4)),
    ]
    fresh = prepare(folder, splits(folder), tmp_path / "fresh", per_shard=2)
    assert all((out / path.name).read_bytes() == path.read_bytes() for path in fresh.iterdir())


def test_a_disk_that_is_full_is_one_line_and_gone_on_with(folder: Folder, tmp_path: Path) -> None:
    out = tmp_path / "c"
    sizes = [
        shard.stat().st_size for shard in sorted(prepare(folder, splits(folder), out, per_shard=2).glob("*.shard"))
    ]
    assert sizes[0] < max(sizes)
    shutil.rmtree(out)
    _, error = start(folder, out, limit=sizes[0] + 1).communicate()
    assert "the disk is full" in error
    assert "run the same command again" in error
    assert len(error.strip().splitlines()) == 1
    assert [path.name for path in out.iterdir()] == ["train-00000.shard"]
    assert plan_of(folder, splits(folder), out, per_shard=2).kept == 2


def test_too_little_space_is_refused_before_anything_is_written(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=SPARE + 50_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(DataError, match=r"the cache needs .* are free, .* too little: make room, .* or use --jpeg"):
        prepare(folder, splits(folder), tmp_path / "c")
    assert not (tmp_path / "c").exists()


# --- the size --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("quality", "tolerance"), [(None, 0.001), (80, 0.2)])
def test_the_size_is_foretold(scenes: Path, tmp_path: Path, quality: int | None, tolerance: float) -> None:
    source = Ade20k(scenes)
    plan = plan_of(source, splits(source, "training"), tmp_path / "c", short_side=50, jpeg_quality=quality, per_shard=5)
    written = sum(path.stat().st_size for path in (tmp_path / "c").glob("*.shard"))
    assert plan.size == plan.missing == pytest.approx(written, rel=tolerance)


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command(cli, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "c"
    done = cli("data", "prepare", scenes, out, "--short-side", 40)
    assert "12 images at short side 40: " in done.stderr
    assert f"12 images written, 0 kept; train with: data.cache={out}" in done.stdout
    source = Ade20k(scenes)
    image, _ = Cache.open(out, source.records("training"), source).read(0)
    assert min(image.shape[:2]) == 40
    facts = json.loads(cli("data", "prepare", scenes, out, "--short-side", 40, "--json").stdout)
    assert (facts["kept"], facts["written"], facts["records"]) == (12, 0, {"training": 12})
    assert "complete and intact" in cli("data", "prepare", scenes, out, "--verify").stdout
    shard = next(out.glob("*.shard"))
    shard.write_bytes(shard.read_bytes()[:-9] + bytes(9))
    assert "damaged" in cli("data", "prepare", scenes, out, "--verify", check=2).stderr
    both = ["--split", "training", "--split", "validation"]
    facts = json.loads(cli("data", "prepare", scenes, out, "--short-side", 40, *both, "--json").stdout)
    assert (facts["kept"], facts["written"]) == (0, 17)
    assert "leave out --short-side" in cli("data", "prepare", scenes, out, "--verify", "--jpeg", check=2).stderr
    assert "add --jpeg" in cli("data", "prepare", scenes, out, "--quality", 40, check=2).stderr


def test_on_real_images(real_data: Path, tmp_path: Path) -> None:
    source = Folder(real_data / "camvid", ignore=(11,))
    records = source.records("val")[::20]
    cache = Cache.open(prepare(source, {"val": records}, tmp_path / "c", short_side=240), records)
    for i, record in enumerate(records):
        image, mask = cache.read(i)
        assert image.shape == (240, 320, 3)
        np.testing.assert_array_equal(mask, nearest(source.read_mask(record), 240, 320))
