"""The page in a real browser: what a reader can do with it, and that it asks nobody for anything."""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from report_pages import NASTY, sample_report

from drawn_study import drawn_study
from run_folders import STUDY, Fake, edit_json, write_study
from segfit.report.blocks import Cell, Column, Section, Table
from segfit.report.html import html
from segfit.report.write import write_report

CHROMIUM = os.environ.get("SEGFIT_CHROMIUM") or next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
if CHROMIUM is None:
    pytest.skip("no Chromium on PATH; set SEGFIT_CHROMIUM to one", allow_module_level=True)


@dataclass
class Watched:
    """A page with all that went wrong in it and all that it asked for."""

    page: Any
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    file = folder / "report.html"
    file.write_text(html(sample_report(folder / "runs")), encoding="utf-8")
    return file


PARTS = {"parameters": 10**8, "gradients": 10**8, "optimizer": 10**8, "activations": 10**9, "temporaries": 0}
PLAN = {
    "device": {"name": "T4", "kind": "cuda", "count": 1, "room": 14_300_000_000},
    "memory": {"peak": 1_300_000_000, "training": PARTS, "validation": PARTS},
    "flops_per_step": 1e12,
}
RUNS = ("alpha", "beta", "gamma")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a page about three runs with all that is drawn of such."""
    folder = tmp_path_factory.mktemp("study")
    fakes = [replace(fake, name=name, epochs=6, plan=PLAN) for fake, name in zip(STUDY, RUNS, strict=False)]
    paths = drawn_study(folder, fakes, count=12, size=(60, 80))
    for number, path in enumerate(paths):
        bins = [{"confidence": c, "accuracy": c - 0.1 * number, "pixels": 1000} for c in (0.4, 0.9)]
        facts = {"ece": 0.1 * number, "every": 4, "bins": bins}
        edit_json(path / "metrics.json", "evaluation", "calibration", value=facts)
    return write_report(paths, folder / "report.html")


def open_folds(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")


def figure_texts(page: Any) -> list[str]:
    """Return every text that can be seen in a figure."""
    script = "(all) => all.filter((one) => one.getClientRects().length).map((one) => one.textContent)"
    return [str(text) for text in page.locator(".plot svg text").evaluate_all(script)]


def opened(browser: Any, file: Path, **options: Any) -> Watched:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
    context.set_default_timeout(5000)
    watched = Watched(context.new_page())
    watched.page.on("console", lambda message: watched.problems.append(message.text))
    watched.page.on("pageerror", lambda error: watched.problems.append(str(error)))
    watched.page.on("request", lambda request: watched.requests.append(request.url))
    watched.page.goto(file.as_uri())
    return watched


@pytest.fixture(scope="module")
def watched(browser: Any, sample: Path) -> Iterator[Watched]:
    found = opened(browser, sample)
    yield found
    found.page.context.close()


@pytest.fixture
def page(watched: Watched, sample: Path) -> Iterator[Any]:
    """Return the page as it is when it has just been opened; nothing may go wrong in it, and nothing may be loaded."""
    watched.requests.clear()
    watched.page.goto("about:blank")
    watched.page.goto(sample.as_uri())
    yield watched.page
    assert watched.problems == []
    wanted = [url for url in watched.requests if not url.startswith(("data:", "about:"))]
    assert {url.split("#")[0] for url in wanted} == {sample.as_uri()}


def column(page: Any, number: int) -> list[str]:
    cells = page.locator(f"#numbers-scores tbody tr:visible > :nth-child({number})")
    return [text.strip() for text in cells.all_inner_texts()]


def title(page: Any, number: int) -> Any:
    return page.locator(f"#numbers-scores thead th:nth-child({number}) button")


# --- tables ----------------------------------------------------------------------------------------------------------


def test_numbers_sort_by_value_and_what_is_missing_comes_last(page: Any) -> None:
    title(page, 3).click()
    assert column(page, 3) == ["100", "10", "9", "2", "1"]
    title(page, 3).click()
    assert column(page, 3) == ["1", "2", "9", "10", "100"]
    for order in (["gamma", "alpha", "delta", "beta", "epsilon"], ["alpha", "delta", "gamma", "beta", "epsilon"]):
        title(page, 2).click()
        # alpha and delta have one score: they keep the order in which they were first shown.
        assert column(page, 1) == order
    assert page.locator("#numbers-scores tfoot th").inner_text() == "all"


def test_sorting_by_keyboard_says_so(page: Any) -> None:
    heads = page.locator("#numbers-scores thead th")
    assert heads.nth(0).get_attribute("aria-sort") is None
    title(page, 1).focus()
    page.keyboard.press("Enter")
    assert heads.nth(0).get_attribute("aria-sort") == "ascending"
    assert column(page, 1) == ["alpha", "beta", "delta", "epsilon", "gamma"]
    page.keyboard.press("Space")
    assert heads.nth(0).get_attribute("aria-sort") == "descending"
    assert column(page, 1) == ["gamma", "epsilon", "delta", "beta", "alpha"]
    title(page, 2).click()
    assert heads.nth(0).get_attribute("aria-sort") is None
    assert heads.nth(1).get_attribute("aria-sort") == "descending"


def test_rows_are_filtered_by_words_and_counted(page: Any) -> None:
    page.get_by_label("Filter").first.fill("A T")
    assert column(page, 1) == ["beta", "delta"]
    output = page.locator("#numbers-scores output")
    assert output.inner_text() == "2 of 5 rows"
    assert output.get_attribute("aria-live") == "polite"
    page.get_by_label("Filter").first.fill("nothing of the kind")
    assert column(page, 1) == []
    page.get_by_label("Filter").first.fill("")
    assert len(column(page, 1)) == 5
    assert output.inner_text() == ""


def test_a_filtered_table_stays_filtered_when_it_is_sorted(page: Any) -> None:
    page.get_by_label("Filter").first.fill("a")
    title(page, 3).click()
    assert column(page, 1) == ["delta", "beta", "gamma", "alpha"]


# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_can_be_taken_out_everywhere(page: Any) -> None:
    lines = page.locator('#words svg [data-run="1"]')
    assert lines.count() == 2
    box = page.get_by_role("checkbox", name=NASTY[1])
    box.uncheck()
    assert column(page, 1) == ["alpha", "gamma", "delta"]
    assert not page.locator("#numbers-scores thead th").nth(3).is_visible()
    assert lines.evaluate_all("(all) => all.every((line) => getComputedStyle(line).display === 'none')")
    assert page.locator('#words svg [data-run="0"]').first.is_visible()
    box.check()
    assert len(column(page, 1)) == 5
    assert lines.first.is_visible()


def test_a_pair_goes_with_either_run(browser: Any, study: Path) -> None:
    page = opened(browser, study).page
    open_folds(page)
    rows = page.locator("#statistics-pairs tbody tr")
    assert rows.count() == 3
    page.get_by_role("checkbox", name="beta").uncheck()
    (left,) = page.locator("#statistics-pairs tbody tr:visible").all_inner_texts()
    assert "beta" not in left
    page.get_by_role("checkbox", name="alpha").uncheck()
    assert page.locator("#statistics-pairs tbody tr:visible").count() == 0
    page.get_by_role("checkbox", name="beta").check()
    (left,) = page.locator("#statistics-pairs tbody tr:visible").all_inner_texts()
    assert "alpha" not in left
    assert page.locator("#classes-classes tbody tr:visible").count() == 8, "classes are about no run"
    page.context.close()


def test_a_run_that_is_off_is_named_in_no_figure(browser: Any, study: Path) -> None:
    watched = opened(browser, study)
    page = watched.page
    open_folds(page)
    for name in RUNS:
        box = page.get_by_role("checkbox", name=name)
        assert sum(name in text for text in figure_texts(page)) >= 8
        box.uncheck()
        assert [text for text in figure_texts(page) if name in text] == []
        assert len(figure_texts(page)) > 50, "all others are still there"
        box.check()
    page.context.close()
    assert watched.problems == []


def test_a_slider_falls_back_to_what_is_on(page: Any) -> None:
    page.get_by_role("combobox", name="Left").select_option("third")
    left, right = (page.get_by_role("combobox", name=name) for name in ("Left", "Right"))
    assert shown(page) == {"left": "third", "right": NASTY[0]}
    page.get_by_role("checkbox", name=NASTY[0]).uncheck()
    assert shown(page) == {"left": "third", "right": "image"}
    assert page.locator(".layer:visible").count() == 2
    for select in (left, right):
        options = select.locator("option")
        assert options.evaluate_all("(all) => all.map((one) => one.disabled && one.hidden)") == [False, True, False]
    page.get_by_role("checkbox", name=NASTY[1]).uncheck()
    # One layer is left, for both sides.
    assert page.locator(".layer:visible").all_inner_texts() == ["image"]
    page.get_by_role("checkbox", name=NASTY[0]).check()
    right.select_option(NASTY[0])
    assert shown(page) == {"left": "image", "right": NASTY[0]}


# --- sliders ---------------------------------------------------------------------------------------------------------


def border(page: Any) -> float:
    """Return where the border stands, as a share of the picture's width."""
    stage, line = page.locator(".stage").bounding_box(), page.locator(".border").bounding_box()
    return float((line["x"] + line["width"] / 2 - stage["x"]) / stage["width"])


def test_dragging_moves_the_border(page: Any) -> None:
    page.locator(".stage").scroll_into_view_if_needed()
    box = page.locator(".stage").bounding_box()
    assert border(page) == pytest.approx(0.5, abs=0.01)
    for wanted in (0.25, 0.8, 0.0, 1.0):
        page.mouse.move(box["x"] + border(page) * box["width"], box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + wanted * box["width"], box["y"] + 25, steps=4)
        page.mouse.up()
        assert border(page) == pytest.approx(wanted, abs=0.02)


def test_arrow_keys_move_the_border(page: Any) -> None:
    page.locator(".stage input").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert border(page) == pytest.approx(0.55, abs=0.005)
    page.keyboard.press("Home")
    assert border(page) == pytest.approx(0.0, abs=0.005)
    outline = page.evaluate("getComputedStyle(document.querySelector('.stage')).outlineStyle")
    assert outline == "solid"


def shown(page: Any) -> dict[str, str]:
    return {
        side: page.locator(f".layer.{side} figcaption").inner_text().strip()
        for side in ("left", "right")
    }  # fmt: skip


def test_each_side_shows_the_layer_that_is_chosen(page: Any) -> None:
    assert shown(page) == {"left": "image", "right": NASTY[0]}
    page.get_by_role("combobox", name="Right").select_option("third")
    page.get_by_role("combobox", name="Left").select_option(NASTY[0])
    assert shown(page) == {"left": NASTY[0], "right": "third"}
    assert page.locator(".layer:visible").count() == 2


# --- the page --------------------------------------------------------------------------------------------------------


def paper(page: Any) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_system_and_can_be_turned(browser: Any, sample: Path, scheme: str) -> None:
    page = opened(browser, sample, color_scheme=scheme).page
    light, dark = "rgb(254, 254, 254)", "rgb(21, 24, 28)"
    first, second = (light, dark) if scheme == "light" else (dark, light)
    assert paper(page) == first
    button = page.locator("button.theme")
    for wanted, says in ((second, scheme), (first, {"light": "dark", "dark": "light"}[scheme])):
        button.click()
        assert paper(page) == wanted
        assert button.inner_text() == f"{says.capitalize()} page"
    page.context.close()


def test_the_first_key_leads_past_the_contents(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.content section') !== null")
    assert page.evaluate("document.activeElement.closest('nav') === null")


def test_everything_that_can_be_used_has_a_name(page: Any) -> None:
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [role=region], nav, table")].filter((e) =>
            !(e.textContent.trim() && e.tagName === "BUTTON") && !e.ariaLabel && !e.labels?.length
            && !document.getElementById(e.getAttribute("aria-labelledby"))?.textContent.trim())
            .map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_the_part_that_is_read_is_marked_in_the_contents(page: Any) -> None:
    page.locator(".contents a", has_text="Commands").click()
    page.wait_for_selector(".contents a[aria-current]")
    assert page.locator(".contents a[aria-current]").count() == 1


def test_nothing_is_wider_than_a_phone(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size({"width": 1280, "height": 900})


def test_without_a_script_everything_can_be_read(browser: Any, sample: Path) -> None:
    watched = opened(browser, sample, java_script_enabled=False)
    page = watched.page
    assert column(page, 1) == ["alpha", "beta", "gamma", "delta", "epsilon"]
    assert page.locator(".layer:visible img").count() == 3
    assert page.locator("button:visible, input:visible, select:visible").count() == 0
    page.context.close()
    assert watched.problems == []


def test_on_paper_folds_are_open_and_nothing_can_be_pressed(page: Any) -> None:
    assert not page.locator("#numbers-inner").is_visible()
    pdf = page.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")
    assert b"595" in pdf[:20_000] or b"/MediaBox [0 0 59" in pdf
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("#numbers-inner").is_visible()
    assert page.locator(".filter:visible, .choice:visible, nav:visible, .theme:visible").count() == 0
    assert page.locator(".layer:visible").count() == 2
    page.emulate_media(media="screen")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert not page.locator("#numbers-inner").is_visible()


def test_no_table_makes_the_print_smaller(browser: Any, tmp_path: Path) -> None:
    columns = tuple(Column(title=f"Column {number}", number=number % 2 == 1) for number in range(10))
    texts = tuple(Cell("some long words that stand in a cell") for _ in columns)
    table = Table(name="t", caption="Wide", columns=columns, rows=(texts,) * 3)
    report = replace(sample_report(tmp_path), across=(Section(name="more", title="More", blocks=[table]),))
    file = tmp_path / "report.html"
    file.write_text(html(report), encoding="utf-8")
    page = opened(browser, file).page
    page.emulate_media(media="print")
    # What is wider than the paper, 180 mm between the margins, shrinks all pages.
    page.set_viewport_size({"width": 680, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    page.context.close()


# --- many runs and classes -------------------------------------------------------------------------------------------


def test_twenty_runs_of_150_classes(browser: Any, tmp_path: Path) -> None:
    names = tuple(f"class {number}" for number in range(150))
    fakes = [
        Fake(name=f"run-{i:02}", names=names, images=12, epochs=6, quality=0.3 + 0.02 * i, batch=4 + i, history=i)
        for i in range(20)
    ]
    paths = write_study(tmp_path, fakes, count=12)
    started = time.process_time()
    file = write_report(paths, tmp_path / "report.html")
    assert time.process_time() - started < 20, "seconds of one processor: others may be at work here, too"
    assert file.stat().st_size < 15_000_000
    took = []
    while len(took) < 5 and min(took, default=9.0) >= 3:  # others may be at work here, too
        started = time.perf_counter()
        watched = opened(browser, file)
        assert watched.page.locator("#results tbody tr").count() == 20
        # Twelve images, each with its photograph, its mask, and two layers of every run.
        assert watched.page.locator(".slider .layer img").count() == 12 * (2 + 2 * 20)
        took.append(time.perf_counter() - started)
        assert watched.page.locator("tbody tr", has_text="class 149").count() >= 1
        watched.page.context.close()
        assert watched.problems == []
        assert [url for url in watched.requests if not url.startswith("data:")] == [file.as_uri()]
    assert min(took) < 3
