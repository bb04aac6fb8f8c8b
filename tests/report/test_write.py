import base64
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from run_folders import STUDY, Fake, draw, predict, write_dataset, write_run, write_study
from segfit.comparison.table import Group, compare
from segfit.errors import DataError, RunError
from segfit.labels import IGNORE
from segfit.report.examples import UNSCORED, WRONG, read_examples
from segfit.report.headline import headline, overfitting, protocol_notes
from segfit.report.write import write_report, write_tables

SIZE = (60, 80)


class Page(HTMLParser):
    """Collects what matters of a page and checks that its elements nest."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def group_of(folder: Path, *fakes: Fake) -> Group:
    (group,) = compare([write_run(folder / str(i), fake) for i, fake in enumerate(fakes)]).groups
    return group


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_study(tmp_path_factory.mktemp("study"), STUDY[:3], count=3, size=SIZE)


@pytest.fixture(scope="module")
def source(study: list[Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("out") / "deeper" / "report.html"
    assert write_report(study, out) == out
    return out.read_text()


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_the_page_needs_nothing_else(source: str, page: Page) -> None:
    assert page.all("script") == page.all("link") == page.all("iframe") == []
    assert all((image["src"] or "").startswith("data:image/") for image in page.all("img"))
    for _, attrs in page.tags:
        assert not any(key.startswith("on") for key in attrs)
        for key in ("href", "xlink:href"):
            assert (attrs.get(key) or "#").startswith("#")
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/)", source)
    assert len(source.encode()) < 1_000_000


def test_ids_are_unique_and_references_resolve(source: str, page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    references = {(attrs.get("xlink:href") or "#")[1:] for _, attrs in page.tags} - {""}
    references |= set(re.findall(r"url\(#([^)]+)\)", source))
    assert references <= set(ids)


def test_pictures_and_figures_are_described(page: Page) -> None:
    assert len(page.all("img")) == 3 * (2 + 2 * 3)
    assert all(image["alt"] for image in page.all("img"))
    assert len(page.all("svg")) == 6
    assert all(svg["aria-label"] and svg["role"] == "img" for svg in page.all("svg"))


def test_figures_take_the_colors_of_the_page(source: str) -> None:
    figures = "".join(re.findall(r"<svg.*?</svg>", source, re.DOTALL))
    assert "var(--run-0)" in figures
    assert not re.search(r"#[0-9a-f]{6}\b", figures)


def test_the_page_says_what_matters(page: Page) -> None:
    assert "attention-unet-8 scored best: Dice 0.756" in page.text
    assert "majority class" in page.text
    assert "from then on only its training loss improved" in page.text
    assert "Dice = 2TP / (2TP + FP + FN)" in page.text
    assert "original resolution" in page.text
    assert "chosen on the same images" in page.text
    for fake in STUDY[:3]:
        assert f"segfit train paper/{fake.name} data.root=ade20k train.seed=0" in page.text


def test_names_are_no_markup(tmp_path: Path) -> None:
    fake = Fake(name='<script>alert(1)</script> & "x"', names=("<i>sky", "b&c", 'd"e'))
    text = write_report([write_run(tmp_path / "run", fake)], tmp_path / "report.html").read_text()
    assert "<script" not in text
    assert "<i>" not in text
    assert fake.name in Page(text).text


def test_the_same_runs_give_the_same_page(study: list[Path], source: str, tmp_path: Path) -> None:
    assert write_report(study, tmp_path / "report.html").read_text() == source


def test_runs_scored_differently_get_sections(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / "a", Fake()), write_run(tmp_path / "b", Fake(name="b", top=4, rest="other"))]
    page = Page(write_report(paths, tmp_path / "report.html").read_text())
    assert len(page.all("section")) == 2
    assert len(page.all("h1")) == 1
    assert "were not scored alike" in page.text
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", ["report", "report.txt"])
def test_a_report_is_html(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match=r"ends in \.html"):
        write_report([tmp_path], tmp_path / name)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = write_run(tmp_path / "run", Fake())
    for write in (
        lambda: write_report([run], tmp_path / "file" / "r.html"),
        lambda: write_tables([run], tmp_path / "file"),
    ):
        with pytest.raises(RunError, match="cannot be written"):
            write()


def test_tables_and_figures_in_a_folder(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / "a", Fake()), write_run(tmp_path / "b", Fake(name="b", resize="short-side"))]
    folder = write_tables(paths, tmp_path / "results")
    names = {path.name for path in folder.iterdir()}
    assert {"table.md", "table.csv", "table.tex", "table.json", "classes.svg", "classes.pdf", "classes-2.svg"} <= names
    assert (folder / "table.md").read_text() == compare(paths).to_markdown()
    assert not any(str(tmp_path) in (folder / f"table.{kind}").read_text() for kind in ("md", "csv", "tex", "json"))


# --- examples --------------------------------------------------------------------------------------------------------


def pixels(uri: str, mode: str) -> np.ndarray:
    head, data = uri.split(",", 1)
    assert head in {"data:image/png;base64", "data:image/webp;base64"}
    return np.asarray(Pillow.open(io.BytesIO(base64.b64decode(data))).convert(mode))


def test_pictures_show_mask_prediction_and_errors(study: list[Path]) -> None:
    (group,) = compare(study).groups
    examples = read_examples(group)
    assert [example.id for example in examples] == ["view-00", "view-01", "view-02"]
    example = examples[0]
    mask = draw(0, SIZE)[1]
    colors = np.array(group.runs[0].labels.colors)
    shown = pixels(example.mask, "RGBA")
    assert (shown[mask > 0, :3] == colors[mask[mask > 0] - 1]).all()
    assert ((shown[..., 3] == 0) == (mask == 0)).all()
    fake = next(fake for fake in STUDY if fake.name == group.rows[0].name)
    prediction = predict(mask, fake, fake.batch)
    first = example.predictions[0]
    assert first is not None
    assert (pixels(first.picture, "RGB") == colors[prediction]).all()
    right = (prediction == mask.astype(int) - 1)[mask > 0].mean()
    assert first.right == f"{100 * right:.0f} %"
    assert [entry.name for entry in example.legend][:1] == ["sky"]


def test_errors_are_red_and_unscored_pixels_light(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data", 1, SIZE)
    mask = draw(0, SIZE)[1]
    truth = np.where(mask == 0, 0, mask - 1).astype(np.uint8)
    data = {"name": "folder", "root": str(root), "first": 1, "ignore": [0]}
    wrong = ((truth + 1) % 8).astype(np.uint8)
    right_run = write_run(tmp_path / "right", Fake(name="right", data=data, quality=0.9), {"view-00": truth})
    wrong_run = write_run(tmp_path / "wrong", Fake(name="wrong", data=data, quality=0.1), {"view-00": wrong})
    (example,) = read_examples(compare([right_run, wrong_run]).groups[0])
    good, bad = example.predictions
    assert good is not None
    assert bad is not None
    assert (good.right, bad.right) == ("100 %", "0 %")
    red = pixels(bad.errors, "RGB")[5:30, 5:75].reshape(-1, 3).mean(axis=0)
    assert red == pytest.approx(WRONG, abs=8)
    grey = pixels(good.errors, "RGB")[:50].astype(int)
    assert np.abs(grey[..., 0] - grey[..., 2]).max() <= 16
    assert pixels(good.errors, "RGB")[-1].mean(axis=0) == pytest.approx(UNSCORED, abs=30)


def test_large_images_are_shown_small(tmp_path: Path) -> None:
    (path,) = write_study(tmp_path, STUDY[:1], count=1, size=(300, 640))
    (example,) = read_examples(compare([path]).groups[0])
    assert (example.width, example.height) == (320, 150)
    assert pixels(example.image, "RGB").shape == (150, 320, 3)


def test_a_run_without_a_prediction_leaves_a_gap(tmp_path: Path) -> None:
    paths = write_study(tmp_path, STUDY[:2], count=2, size=SIZE)
    (paths[0] / "examples" / "view-01.png").unlink()
    group = compare(paths).groups[0]
    examples = read_examples(group)
    assert [example.id for example in examples] == ["view-00", "view-01"]
    place = [row.name for row in group.rows].index("unet-8")
    assert examples[1].predictions[place] is None
    page = Page(write_report(paths, tmp_path / "report.html").read_text())
    assert page.text.count("kept no prediction") == 1


def test_why_there_are_no_pictures_is_said(tmp_path: Path) -> None:
    (path,) = write_study(tmp_path, STUDY[:1], count=1, size=SIZE)
    group = compare([path]).groups[0]
    mask_file = tmp_path / "dataset" / "masks" / "validation" / "view-00.png"
    assert cv2.imwrite(str(mask_file), np.ones((10, 10), np.uint8))
    with pytest.raises(DataError, match="the dataset changed since the run"):
        read_examples(group)
    (tmp_path / "dataset").rename(tmp_path / "moved")
    with pytest.raises(DataError, match=r"is not at .*dataset any more"):
        read_examples(group)
    page = Page(write_report([path], tmp_path / "report.html").read_text())
    assert "No example images: the dataset is not at" in page.text
    (path / "examples" / "view-00.png").unlink()
    with pytest.raises(DataError, match=r"kept no example predictions"):
        read_examples(group)


def test_a_prediction_of_an_unknown_class_is_refused(tmp_path: Path) -> None:
    (path,) = write_study(tmp_path, STUDY[:1], count=1, size=SIZE)
    assert cv2.imwrite(str(path / "examples" / "view-00.png"), np.full(SIZE, IGNORE, np.uint8))
    with pytest.raises(DataError, match=r"view-00\.png: holds class 255 of 8"):
        read_examples(compare([path]).groups[0])


# --- words -----------------------------------------------------------------------------------------------------------


def test_the_headline_names_margins_and_costs(tmp_path: Path) -> None:
    words = headline(group_of(tmp_path, *STUDY))
    assert words.title == "attention-unet-8 scored best: Dice 0.756"
    text = " ".join(words.sentences)
    assert "0.696 above always answering the most common class (0.060)" in text
    assert "0.036 above the runner-up, unet-8 (0.678)" in text
    assert "trained for 6 h 54 min on 2 x Tesla T4 with 4.6 GB of memory at the peak" in text
    assert "The least memory sufficed for unet-small: 1.2 GB for Dice 0.506." in text
    assert "one seed" in text
    assert "significan" not in text


def test_a_single_run_has_no_runner_up(tmp_path: Path) -> None:
    words = headline(group_of(tmp_path, Fake(name="alone")))
    assert words.title.startswith("alone reaches Dice 0.")
    assert not any("runner-up" in sentence or "seed" in sentence for sentence in words.sentences)


def test_equal_scores_are_shared(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / name, Fake(name=name)) for name in "ab"]
    shutil.copyfile(folders[0] / "metrics.json", folders[1] / "metrics.json")
    words = headline(compare(folders).groups[0])
    assert words.title.startswith("a and b share the best Dice: 0.")
    assert "less than 0.001 away from the runner-up" in words.sentences[0]


def test_a_model_that_learnt_nothing_is_called_so(tmp_path: Path) -> None:
    words = headline(group_of(tmp_path, Fake(quality=0.0)))
    assert words.title.startswith("No run beats the majority class: the best Dice is 0.")
    assert "below always answering" in words.sentences[0]


def test_costs_on_different_hardware_are_not_compared(tmp_path: Path) -> None:
    words = headline(group_of(tmp_path, Fake(quality=0.7), Fake(name="cpu", device_name="EPYC")))
    assert words.sentences[1].endswith("of memory at the peak.")


def test_protocol_notes_name_metric_and_coverage(tmp_path: Path) -> None:
    notes = " ".join(protocol_notes(group_of(tmp_path, Fake(top=4, rest="other", score="miou"))))
    assert "IoU = TP / (TP + FP + FN)" in notes
    assert "cover 88 % of the pixels; all others became one extra class" in notes
    assert overfitting(group_of(tmp_path / "more", STUDY[2])) == []
