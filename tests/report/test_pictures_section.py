from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn_study import analysis_of, drawn_study
from run_folders import STUDY, Fake, draw, write_dataset, write_run
from segfit.comparison.analysis import Analysis
from segfit.errors import DataError, RunError
from segfit.labels import IGNORE
from segfit.report.blocks import Fold, Section, Slider
from segfit.report.sections.pictures import COUNT, LONGEST_SIDE, NAMED, Images, choose, pictures, score_images

SIZE = (90, 120)


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analysis_of(drawn_study(tmp_path_factory.mktemp("study"), STUDY[:3]))


@pytest.fixture(scope="module")
def section(analysis: Analysis) -> Section:
    made = pictures(analysis)
    assert made is not None
    return made


def sliders(section: Section) -> list[Slider]:
    folds = [block for block in section.blocks if isinstance(block, Fold)]
    return [block for fold in folds for block in fold.blocks if isinstance(block, Slider)]


def kind_of(slider: Slider) -> str:
    return slider.name.split("-")[0]


def id_of(slider: Slider) -> str:
    return slider.title.split(":")[0]


def dice_of(truth: np.ndarray, prediction: np.ndarray) -> float:
    """The mean Dice over the classes of one image, class by class."""
    scored = truth != IGNORE
    values = []
    for train in range(8):
        there, found = scored & (truth == train), scored & (prediction == train)
        if there.any() or found.any():
            values.append(2 * (there & found).sum() / (there.sum() + found.sum()))
    return float(np.mean(values))


def test_per_image_scores_are_those_of_the_kept_predictions(analysis: Analysis) -> None:
    from segfit.report.examples import open_album

    images, album = score_images(analysis), open_album(analysis.group)
    assert images.ids == tuple(f"view-{i:02}" for i in range(9))
    for position in (0, 4, 8):
        example = album.read(images.ids[position])
        for run, prediction in enumerate(example.predictions):
            assert prediction is not None
            assert images.scores[run, position] == pytest.approx(dice_of(example.truth, prediction))
        scored = example.truth != IGNORE
        assert images.annotated[position] == pytest.approx(scored.mean())
        assert images.classes[position] == len(np.unique(example.truth[scored]))


def test_the_worst_the_disputed_and_the_best_are_shown_once(analysis: Analysis, section: Section) -> None:
    images = score_images(analysis)
    shown = [f"{kind_of(slider)}-{id_of(slider)}" for slider in sliders(section)]
    assert len({slider.name for slider in sliders(section)}) == 9
    assert len({id_of(slider) for slider in sliders(section)}) == 9
    order = np.argsort(images.scores[0], kind="stable")
    assert shown[:3] == [f"worst-{images.ids[i]}" for i in order[:3]]
    spread = np.ptp(images.scores, axis=0)
    left = [i for i in np.argsort(-spread, kind="stable") if i not in order[:3]]
    assert shown[3:6] == [f"disagreed-{images.ids[i]}" for i in left[:3]]
    best = [i for i in order[::-1] if i not in order[:3] and i not in left[:3]]
    assert sorted(shown[6:]) == sorted(f"best-{images.ids[i]}" for i in best[:3])


def test_only_the_first_kind_is_open(section: Section) -> None:
    assert [block.opened for block in section.blocks if isinstance(block, Fold)] == [True, False, False]


def test_a_slider_has_everything_of_its_image(analysis: Analysis, section: Section) -> None:
    names = [row.name for row in analysis.group.rows]
    for slider in sliders(section):
        layers = [layer.name for layer in slider.layers]
        assert sorted(layers) == sorted(["Ground truth", "Photograph", *names, *(f"{name}: errors" for name in names)])
        assert all(layer.alt and layer.uri.startswith("data:image/") for layer in slider.layers)
        assert (slider.height, slider.width) == SIZE
        assert all(name in slider.remark for name in names)
        numbers = {layer.name.removesuffix(": errors"): layer.run for layer in slider.layers}
        assert all(numbers[row.name] == row.number for row in analysis.group.rows)


def test_the_layers_to_compare_come_first(analysis: Analysis, section: Section) -> None:
    images, rows = score_images(analysis), analysis.group.rows
    for slider in sliders(section):
        first = [layer.name for layer in slider.layers[:2]]
        scores = images.scores[:, images.ids.index(id_of(slider))]
        if kind_of(slider) == "disagreed":
            assert set(first) == {rows[int(np.argmax(scores))].name, rows[int(np.argmin(scores))].name}
            assert f"from {scores.min():.3f}" in slider.title
        else:
            assert first == ["Ground truth", rows[0].name]
            assert f"{rows[0].name} scores {scores[0]:.3f}" in slider.title


def test_one_run_disagrees_with_nobody(tmp_path: Path) -> None:
    analysis = analysis_of(drawn_study(tmp_path, STUDY[:1], count=4))
    section = pictures(analysis)
    assert section is not None
    assert [kind_of(slider) for slider in sliders(section)] == ["worst", "worst", "best", "best"]


def test_large_images_are_shown_small(tmp_path: Path) -> None:
    section = pictures(analysis_of(drawn_study(tmp_path, STUDY[:1], count=1, size=(250, 500))))
    assert section is not None
    (slider,) = sliders(section)
    assert (slider.width, slider.height) == (LONGEST_SIDE, LONGEST_SIDE // 2)


def test_of_many_runs_only_the_ends_are_named(tmp_path: Path) -> None:
    fakes = [Fake(name=f"run-{i}", quality=0.4 + 0.05 * i, batch=i + 1) for i in range(NAMED + 1)]
    analysis = analysis_of(drawn_study(tmp_path, fakes, count=2))
    section = pictures(analysis)
    assert section is not None
    for slider in sliders(section):
        assert slider.remark.startswith("highest run-")
        assert slider.remark.count("run-") == 2


def test_without_kept_predictions_the_reason_is_said(tmp_path: Path) -> None:
    (path,) = drawn_study(tmp_path, STUDY[:1], count=2)
    for file in (path / "examples").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"kept no example predictions \(evaluate\.examples\)"):
        pictures(analysis_of([path]))


def test_records_of_images_that_are_gone_are_refused(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data", 1, SIZE)
    data = {"name": "folder", "root": str(root), "first": 1, "ignore": [0]}
    mask = np.zeros_like(draw(0, SIZE)[1])
    path = write_run(tmp_path / "run", Fake(data=data, images=3), {"view-01": mask})
    with pytest.raises(DataError, match=r"has no image 'view-01' any more"):
        pictures(analysis_of([path]))
    (path / "per_image.parquet").unlink()
    with pytest.raises(RunError, match=r"per_image\.parquet: no such file"):
        pictures(analysis_of([path]))


# --- choosing --------------------------------------------------------------------------------------------------------


def images_of(scores: np.ndarray, annotated: np.ndarray | None = None, classes: np.ndarray | None = None) -> Images:
    count = scores.shape[1]
    return Images(
        ids=tuple(map(str, range(count))),
        scores=scores,
        annotated=np.ones(count) if annotated is None else annotated,
        classes=np.full(count, 5) if classes is None else classes,
    )


@given(
    runs=st.integers(1, 4), count=st.integers(1, 30), seed=st.integers(0, 10**6), kept_share=st.sampled_from([0.3, 1.0])
)
def test_no_image_is_chosen_twice_and_all_were_kept(runs: int, count: int, seed: int, kept_share: float) -> None:
    rng = np.random.default_rng(seed)
    images = images_of(rng.random((runs, count)))
    kept = rng.random((runs, count)) < kept_share
    choices = choose(images, kept)
    chosen = [i for choice in choices for i in choice.chosen]
    assert len(chosen) == len(set(chosen))
    assert (len(chosen) > 0) == bool(kept.any())
    most = kept.sum(axis=0).max()
    assert all(kept[:, i].sum() == most for i in chosen)
    assert all(len(choice.chosen) <= COUNT for choice in choices)
    assert [choice.kind for choice in choices] == [
        kind
        for kind in ("worst", "disagreed", "best")
        if kind in {choice.kind for choice in choices} and (kind != "disagreed" or runs > 1)
    ]


def test_images_with_little_to_score_are_passed_over() -> None:
    scores = np.array([[0.0, 0.1, 0.2, np.nan, 0.5, 0.9]])
    annotated = np.array([0.01, 1.0, 1.0, 0.0, 1.0, 1.0])
    classes = np.array([3, 1, 4, 0, 4, 4])
    kept = np.ones((1, 6), np.bool_)
    worst, best = choose(images_of(scores, annotated, classes), kept)
    assert worst.chosen == (2,)
    assert best.chosen == (5,)


def test_where_there_are_no_others_they_are_shown() -> None:
    images = images_of(np.array([[0.3, 0.2]]), np.array([0.01, 0.02]), np.array([1, 1]))
    worst, best = choose(images, np.ones((1, 2), np.bool_))
    assert (worst.chosen, best.chosen) == ((1,), (0,))
