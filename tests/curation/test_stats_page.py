import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from segfit.curation.opening import open_dataset
from segfit.curation.stats import dataset_stats
from segfit.curation.stats.page import write_stats_page
from segfit.data.decode import read_image
from segfit.errors import DataError


class Page(HTMLParser):
    """Collects the elements of a page and checks that they nest."""

    VOID = frozenset({"meta", "img", "br", "input"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2])))


@pytest.fixture(scope="module")
def stats(scenes):
    return dataset_stats(open_dataset(scenes))


@pytest.fixture(scope="module")
def source(stats, tmp_path_factory):
    return write_stats_page(stats, tmp_path_factory.mktemp("out") / "deeper" / "stats.html").read_text()


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


def test_the_page_needs_nothing_else(source, page):
    assert page.all("script") == page.all("link") == page.all("iframe") == []
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    for _, attrs in page.tags:
        for name, value in attrs.items():
            assert name.startswith("xmlns") or "://" not in (value or "")
            assert not name.startswith("on")
    assert len(source) < 3_000_000


def test_ids_are_unique_and_references_resolve(page):
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(set(ids)) == len(ids)
    used = {attrs["xlink:href"].removeprefix("#") for _, attrs in page.tags if "xlink:href" in attrs}
    assert used <= set(ids)


def test_everything_has_words_and_can_be_reached_by_keyboard(page):
    figures = page.all("svg")
    assert len(figures) == 5
    assert all(len(figure["aria-label"]) > 20 for figure in figures)
    assert all("alt" in image for image in page.all("img"))
    scrolled = [attrs for _, attrs in page.tags if attrs.get("class") == "scroll"]
    assert scrolled
    assert all(attrs["tabindex"] == "0" and attrs["aria-label"] for attrs in scrolled)
    assert all(attrs["tabindex"] == "0" for attrs in page.all("pre"))


def test_the_page_says_what_the_facts_say(stats, page):
    for suggestion in stats.suggestions:
        assert suggestion.title in page.text
        assert suggestion.snippet() in page.text
    assert stats.fingerprint in page.text
    for name in stats.names:
        assert name.split(",")[0] in page.text
    for scene in stats.facts()["overall"]["scenes"]:
        assert scene.replace("_", " ") in page.text


def test_pictures_are_images_with_their_masks(stats, scenes, page):
    photos = [image for image in page.all("img") if image["alt"]]
    masks = [image for image in page.all("img") if not image["alt"]]
    assert len(photos) == len(masks) == 8 + 5
    for photo, mask in zip(photos, masks, strict=True):
        name = photo["alt"].removeprefix("Image ")
        (file,) = (scenes / "images").rglob(f"{name}.jpg")
        whole, shown = read_image(file), np.asarray(decoded(photo["src"]).convert("RGB"))
        assert shown.shape == whole.shape  # these are smaller than the limit
        assert np.abs(shown.astype(int) - whole).mean() < 12
        painted = np.asarray(decoded(mask["src"]).convert("RGBA"))
        (stored,) = (scenes / "annotations").rglob(f"{name}.png")
        ids, table = np.asarray(Image.open(stored)), stats.overall.census.table
        colors = dict(zip(table.ids, table.colors, strict=True))
        assert ((painted[..., 3] == 0) == (ids == 0)).all()
        for i in set(np.unique(ids).tolist()) - {0}:
            assert (painted[ids == i][:, :3] == colors[i]).all()


def test_the_same_dataset_gives_the_same_page(stats, source, tmp_path):
    assert write_stats_page(stats, tmp_path / "again.html").read_text() == source


def test_names_are_escaped(tmp_path):
    for split in ("a<b>", "val"):
        (tmp_path / "images" / split).mkdir(parents=True)
        (tmp_path / "masks" / split).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((20, 30 + i, 3), 40 * i, np.uint8)).save(tmp_path / f"images/{split}/<i>{i}.png")
            Image.fromarray(np.arange(20, dtype=np.uint8)[:, None].repeat(30 + i, 1) % 3).save(
                tmp_path / f"masks/{split}/<i>{i}.png"
            )
    (tmp_path / "classes.txt").write_text("<script>alert(1)</script>\n$x$ & y\n[red]nose\n")
    stats = dataset_stats(open_dataset(tmp_path))
    page = Page(write_stats_page(stats, tmp_path / "page.html").read_text())
    assert page.all("script") == page.all("b") == []
    assert "<script>alert(1)</script>" in page.text


@pytest.mark.parametrize("values", [[255], [0], [0, 1]])
def test_the_poorest_datasets_have_a_page(tmp_path, values):
    for kind, shape in (("images", (20, 20, 3)), ("masks", (20, 20))):
        (tmp_path / kind / "train").mkdir(parents=True)
        array = np.resize(np.array(values, np.uint8), shape)
        Image.fromarray(array).save(tmp_path / kind / "train" / "a.png")
    (tmp_path / "classes.txt").write_text("ground\nsky\n")
    page = Page(write_stats_page(dataset_stats(open_dataset(tmp_path)), tmp_path / "page.html").read_text())
    assert "1 image" in page.text


def test_a_training_split_without_annotation_has_a_page(tmp_path):
    for split, value in (("train", 255), ("val", 1)):
        for kind, shape in (("images", (20, 20, 3)), ("masks", (20, 20))):
            (tmp_path / kind / split).mkdir(parents=True)
            Image.fromarray(np.full(shape, value, np.uint8)).save(tmp_path / kind / split / "a.png")
    (tmp_path / "classes.txt").write_text("ground\nsky\n")
    page = Page(write_stats_page(dataset_stats(open_dataset(tmp_path)), tmp_path / "page.html").read_text())
    assert "1 class of other splits never occurs in train" in page.text


def test_an_example_image_that_is_gone_is_named(scenes, tmp_path):
    root = shutil.copytree(scenes, tmp_path / "scenes")
    stats = dataset_stats(open_dataset(root))
    shutil.rmtree(root / "images")
    with pytest.raises(DataError, match="no such file"):
        write_stats_page(stats, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_prints_tables_and_suggestions(cli, scenes, stats):
    out = cli("data", "stats", scenes).stdout
    names = [stats.names[i].split(",")[0] for i in stats.overall.order]
    printed = [match[0] for line in out.splitlines() if (match := re.match(r"\S.*?(?=  )", line))]
    assert [name for name in printed if name in names][: len(names)] == names
    assert stats.fingerprint in out
    for suggestion in stats.suggestions:
        assert suggestion.title in out
        assert all(line in out for line in suggestion.snippet().splitlines())


def test_the_command_prints_all_facts(cli, scenes, stats):
    assert json.loads(cli("data", "stats", scenes, "--json").stdout) == json.loads(json.dumps(stats.facts()))


def test_the_command_writes_the_page_beside_the_facts(cli, scenes, tmp_path, source):
    done = cli("data", "stats", scenes, "--html", tmp_path / "stats.html", "--json")
    assert json.loads(done.stdout)["classes"] > 20
    assert (tmp_path / "stats.html").read_text() == source


def test_the_command_takes_splits_and_overrides(cli, scenes):
    facts = json.loads(cli("data", "stats", scenes, "augment.size=[64,64]", "--split", "validation", "--json").stdout)
    assert list(facts["splits"]) == ["validation"]
    assert facts["suggestions"][0]["applied"]


def test_a_recipe_and_a_run_are_datasets_too(cli, scenes, trained):
    run = json.loads(cli("data", "stats", trained, "--json").stdout)
    recipe = json.loads(cli("data", "stats", "demo/unet", "data.name=ade20k", f"data.root={scenes}", "--json").stdout)
    assert run["splits"] == recipe["splits"]
    assert run["dataset"]["fingerprint"] == recipe["dataset"]["fingerprint"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--html", "page.txt"], "the page ends in .html"),
        (["--split", "trainign"], "no split folder 'trainign' (did you mean 'training'?)"),
        (["labels.classes=[unicorn]"], "no class is called 'unicorn'"),
    ],
)
def test_wrong_input_is_one_line(cli, scenes, words, message):
    done = cli("data", "stats", scenes, *words, check=2)
    assert message in done.stderr.splitlines()[-1]
    assert done.stdout == ""
