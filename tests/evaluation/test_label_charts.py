import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgba
from matplotlib.text import Text

from cxr_pipeline.data.class_counts import (
    count_classes,
    count_classes_by_split_and_view,
    count_cooccurrence,
)
from cxr_pipeline.data.findings import CLASSES, FINDINGS, NO_FINDING, PAPER_COUNTS
from cxr_pipeline.evaluation.label_charts import (
    GREY,
    GROUP_COLOURS,
    VIEW_COLOURS,
    class_count_chart,
    cooccurrence_chart,
)

NIH_CLASSES = (*FINDINGS, NO_FINDING)


def label_table(*groups, classes=CLASSES):
    """A label table of (how many, findings, split, view), so many images of each kind."""
    rows = [group[1:] for group in groups for _ in range(group[0])]
    flags = {name: [name in findings for findings, _, _ in rows] for name in classes}
    return pd.DataFrame(flags, dtype=bool).assign(
        split=[split for _, split, _ in rows], view=[view for _, _, view in rows]
    )


def count_chart(labels):
    return class_count_chart(count_classes(labels), count_classes_by_split_and_view(labels))


def row_of(axes, finding):
    names = [label.get_text() for label in axes.get_yticklabels()]
    return names.index(finding)


def level_texts(figure):
    """Every text drawn that is not turned: the boxes of turned ones lie upon each other."""
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    return [text for text in texts if not text.get_rotation()]


def texts_of(artists):
    return [artist.get_text() for artist in artists]


@pytest.fixture
def labels():
    return label_table(
        (1100, {NO_FINDING}, "train", "PA"),
        (100, {"Infiltration"}, "train", "PA"),
        (30, {"Infiltration", "Pleural_Thickening"}, "validation", "AP"),
        (70, {"Infiltration", "Mass"}, "test", None),
    )


@pytest.fixture
def panels(labels):
    """The panels of the chart of counts: all, numbers, splits, views."""
    return count_chart(labels).axes


def test_each_finding_has_a_bar_as_long_as_its_count_coloured_by_its_group(panels):
    axes = panels[0]
    names = texts_of(axes.get_yticklabels())
    assert names == [name.replace("_", " ") for name in PAPER_COUNTS]
    bars = axes.containers[0]
    lengths = dict(zip(names, (bar.get_width() for bar in bars), strict=True))
    assert {name: length for name, length in lengths.items() if length} == {
        "No Finding": 1100,
        "Infiltration": 200,
        "Pleural Thickening": 30,
        "Mass": 70,
    }
    colours = [to_hex(bar.get_facecolor()) for bar in bars]
    assert colours[:2] == [GROUP_COLOURS["head"], GROUP_COLOURS["medium"]]
    assert set(colours[2:]) == {GROUP_COLOURS["tail"]}
    assert axes.yaxis_inverted()


def test_the_papers_counts_are_marked_on_the_same_rows(panels):
    (marks,) = panels[0].lines
    assert marks.get_xdata().tolist() == list(PAPER_COUNTS.values())
    middles = [bar.get_y() + bar.get_height() / 2 for bar in panels[0].containers[0]]
    assert list(marks.get_ydata()) == pytest.approx(middles)


def test_the_counts_are_written_beside_the_papers_with_commas(panels):
    written = {}
    for text in panels[1].texts:
        written.setdefault(text.get_position()[1], []).append(text.get_text())
    assert written.pop(min(written)) == ["here", "Table 1"]
    assert written[row_of(panels[0], "No Finding")] == ["1,100", "59,406"]
    assert written[row_of(panels[0], "Hernia")] == ["0", "227"]


def test_every_split_is_marked_on_a_log_scale_with_a_place_for_zero(panels):
    axes = panels[2]
    assert axes.get_xscale() == "symlog"
    low, high = axes.get_xlim()
    assert low == 0
    assert high > 1100
    marks = {line.get_marker(): line.get_xdata() for line in axes.lines}
    train = axes.collections[-1].get_offsets()
    place = row_of(panels[0], "Infiltration")
    assert [train[place, 0], marks["o"][place], marks["x"][place]] == [100, 30, 70]
    place = row_of(panels[0], "Hernia")
    assert [train[place, 0], marks["o"][place], marks["x"][place]] == [0, 0, 0]


def test_views_share_each_findings_images_and_nothing_where_none_is(panels):
    bars = dict(zip(VIEW_COLOURS, panels[3].containers, strict=True))
    place = row_of(panels[0], "Infiltration")
    views = ("PA", "AP", "unknown")
    shares = [bars[view][place].get_width() for view in views]
    assert shares == pytest.approx([0.5, 0.15, 0.35])
    assert [bars[view][place].get_x() for view in views] == pytest.approx([0, 0.5, 0.65])
    place = row_of(panels[0], "Hernia")
    assert [bars[view][place].get_width() for view in views] == [0, 0, 0]
    assert {"50%", "15%", "35%", "100%"} <= set(texts_of(panels[3].texts))


def test_the_legends_say_what_is_drawn(panels):
    legends = [texts_of(panels[place].get_legend().get_texts()) for place in (0, 2, 3)]
    assert legends == [
        [
            "head: more than 1,000 training images",
            "medium: 100 to 1,000",
            "tail: fewer than 100",
            "paper, Table 1",
        ],
        ["train", "validation", "test"],
        ["PA", "AP", "unknown"],
    ]


def test_only_what_the_labels_hold_is_in_the_legends():
    panels = count_chart(label_table((3, {"Mass"}, "test", "PA"), classes=NIH_CLASSES)).axes
    assert texts_of(panels[3].get_legend().get_texts()) == ["PA"]
    assert texts_of(panels[0].get_legend().get_texts())[0] == "head: more than 1,000 images"
    assert len(panels[0].get_yticklabels()) == 15


def test_cooccurrence_writes_counts_and_colours_shares_of_the_row(labels):
    figure = cooccurrence_chart(count_cooccurrence(labels))
    axes = figure.axes[0]
    names = texts_of(axes.get_yticklabels())
    assert texts_of(axes.get_xticklabels()) == [*names, "no other finding"]
    assert len(names) == 19
    numbers = np.array(texts_of(axes.texts)).reshape(19, 20)
    infiltration, mass = names.index("Infiltration"), names.index("Mass")
    assert numbers[infiltration, [infiltration, mass, 19]].tolist() == ["200", "70", "100"]
    assert numbers[mass, [infiltration, mass, 19]].tolist() == ["70", "70", "0"]
    # A column of white stands between the findings and those alone.
    (mesh,) = axes.collections
    colours = mesh.get_array().reshape(19, 21, 4)
    assert colours[mass, mass].tolist() == list(to_rgba(GREY))
    assert (colours[:, 19] == 1).all()
    darkness = 1 - colours[..., :3].mean(axis=2)
    assert darkness[mass, infiltration] > darkness[infiltration, 20] > darkness[infiltration, mass]


@pytest.mark.parametrize("classes", [NIH_CLASSES, CLASSES], ids=["NIH", "CXR-LT"])
@pytest.mark.parametrize("images", [0, 50_000])
def test_no_text_lies_upon_another_or_leaves_the_picture(classes, images):
    labels = label_table(
        (images, {"Infiltration", "Effusion"}, "train", "PA"),
        (images // 100, {"Hernia", "Mass"}, "test", None),
        classes=classes,
    )
    for figure in (count_chart(labels), cooccurrence_chart(count_cooccurrence(labels))):
        FigureCanvasAgg(figure).draw()
        boxes = [text.get_window_extent() for text in level_texts(figure)]
        assert len(boxes) > 60
        for number, box in enumerate(boxes):
            assert figure.bbox.containsx(box.x0)
            assert figure.bbox.containsx(box.x1)
            assert figure.bbox.containsy(box.y0)
            assert figure.bbox.containsy(box.y1)
            assert not any(box.overlaps(other) for other in boxes[:number])
