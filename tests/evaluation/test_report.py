"""The page and the table of values: what is in them, and that they need nothing else."""

from __future__ import annotations

import base64
import csv
import io
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from napari_monai.evaluation import Case, Counts, Scores, csv_text, difference, html_report
from napari_monai.evaluation.html import extremes
from napari_monai.evaluation.measures import Space
from napari_monai.evaluation.pictures import case_picture
from napari_monai.evaluation.report import instance_case
from napari_monai.grid import Grid
from napari_monai.volume import LabelVolume, Volume


class Page(HTMLParser):
    """Tags that are opened and not closed, addresses, and the text of cells."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.cells, self.images = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.addresses += [v for k, v in values.items() if k in ("src", "href")]
        if tag == "img":
            self.images.append(values["src"])
        elif tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


def class_scores(dice, name="liver & <co>"):
    """Return scores with a distance each; the first case misses the class."""
    space = Space((1.0, 1.0, 1.0), "mm")
    cases = []
    for i, value in enumerate(dice):
        tp = round(100 * value)
        far = math.inf if not tp else 10 * (1 - value)
        beside = {name: {"HD95": far}}
        counts = {name: Counts(tp, 100 - tp, 100 - tp)}
        cases.append(Case(f"case {i}", "classes", counts, beside, space))
    return Scores("classes", tuple(cases))


def object_scores_of(found):
    return Scores(
        "instances",
        tuple(instance_case(f"im {i}", [Counts(n, 2, 1)] * 9) for i, n in enumerate(found)),
    )


@pytest.mark.parametrize(
    "scores",
    [class_scores([0, 0.5, 0.9, 0.7]), object_scores_of([1, 4, 9])],
    ids=["classes", "objects"],
)
@pytest.mark.parametrize("rival", [False, True], ids=["alone", "against"])
def test_the_page_is_whole_and_needs_nothing_else(scores, rival):
    text = html_report(
        scores, title="<b>CT</b>", against=scores if rival else None, against_name="other"
    )
    page = Page(text)
    assert page.open == []
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert not re.search(r"https?:|@import|url\(", text)
    assert "<b>CT</b>" not in text
    for image in page.images:
        Image.open(io.BytesIO(base64.b64decode(image.partition(",")[2]))).verify()
    assert ("p Wilcoxon" in page.cells) == rival
    assert ("independent" in text) == rival
    for case in scores.cases:
        assert case.name in page.cells


def test_what_is_missing_is_said():
    page = Page(html_report(class_scores([0, 0.5, 0.9])))
    assert "liver & <co>" in page.cells
    assert "HD95 [mm]" in page.cells
    assert "3.00" in page.cells  # mean of 5 and 1, the infinite one left out
    assert "inf" in page.cells


def test_pictures_come_in_their_order():
    scores = class_scores([0.9, 0.1, 0.5, 0.7])
    best, worst = extremes(scores, 1)
    assert (best, worst) == ([0], [1])
    assert extremes(scores, 3) == ([0, 3], [2, 1])
    assert extremes(class_scores([0.5]), 3) == ([0], [])
    array = np.eye(8, dtype=int)
    picture = case_picture(difference(array, array, kind="classes"), case="case 0")
    page = Page(html_report(scores, pictures=[picture]))
    assert any(base64.b64encode(picture.png).decode() in image for image in page.images)


def test_table_of_values():
    rows = list(csv.reader(io.StringIO(csv_text([("a", class_scores([0, 0.5]))]))))
    assert rows[0][:3] == ["model", "image", "class"]
    assert rows[0][-1] == "HD95 [mm]"
    assert rows[1][:6] == ["a", "case 0", "liver & <co>", "0", "100", "100"]
    assert rows[1][-1] == "inf"
    assert [float(x) for x in rows[2][-3:]] == [0.5, 1 / 3, 5.0]
    objects = list(csv.DictReader(io.StringIO(csv_text([("b", object_scores_of([4]))]))))
    assert float(objects[0]["AP50"]) == 4 / 7
    assert objects[0]["true objects"] == "5"


# -- pictures -------------------------------------------------------------------------------------


def colours(picture):
    return np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB")).astype(int)


def test_the_slice_with_most_errors_is_shown():
    truth = np.zeros((5, 10, 20), int)
    truth[1, 2:8, 2:18] = 1
    prediction = truth.copy()
    prediction[3, :, :10] = 1
    found = difference(prediction, truth, kind="classes")
    picture = case_picture(found, case="x")
    assert picture.caption == "slice 4 of 5"
    sheet = colours(picture)
    height, width = sheet.shape[:2]
    assert width == 2 * height
    assert sheet[height // 2, width // 4] @ (1, -1, 0) > 50  # orange
    assert np.ptp(sheet[height // 2, 3 * width // 4]) == 0  # grey


def test_pixels_are_as_large_as_the_spacing_says():
    grid = Grid.from_spacing((10, 10), (3.0, 1.0), unit="mm")
    labels = LabelVolume(np.ones((10, 10), np.uint8), grid)
    height, width = colours(case_picture(difference(labels, labels), case="x")).shape[:2]
    assert height == pytest.approx(3 * width, abs=3)


def test_image_stands_beside_its_labels():
    labels = np.zeros((10, 10), int)
    labels[:5] = 1
    grid = Grid.from_spacing((10, 10))
    image = Volume(np.arange(100.0).reshape(10, 10), grid, name="im")
    found = difference(labels, labels, kind="classes")
    sheet = colours(case_picture(found, case="x", image=image))
    height, width = sheet.shape[:2]
    assert width > 2 * height
    left, right = sheet[:, :height], sheet[:, -height:]
    assert np.ptp(left, axis=2).max() == 0  # grey
    np.testing.assert_array_equal(left[-5], right[-5])  # nothing lies over the lower half
    assert right[5, height // 2] @ (-1, 1, 0) > 50  # green over the upper


@pytest.mark.parametrize("kind", ["classes", "instances"])
def test_a_page_without_a_case(kind):
    text = html_report(Scores(kind, (), left_out=("out/a<b>.nii",)))
    assert Page(text).open == []
    assert "1 file left out" in text
    assert "a&lt;b&gt;.nii" in text


@pytest.mark.parametrize("name", [r"$\frac$", "_a", "a" * 300, "<b>&", "\u809d\u81d3"])
def test_names_that_matplotlib_or_html_would_take_for_more(name):
    cases = tuple(
        Case(f"{name} {i}", "classes", {name: Counts(3, i, 1)}, {name: {"HD95": 1.0 + i}})
        for i in range(3)
    )
    scores = Scores("classes", cases)
    text = html_report(scores, name=name, against=scores, against_name=f"{name}!")
    assert "3 images, 1 class." in text
    page = Page(text)
    assert page.open == []
    assert any(name in cell for cell in page.cells)
    assert len(page.images) == 3


def test_an_image_with_unknown_pixels_is_shown():
    grid = Grid.from_spacing((8, 8))
    labels = LabelVolume(np.ones((8, 8), np.uint8), grid)
    pixels = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    pixels[0, 0] = np.nan
    png = case_picture(labels, case="", image=Volume(pixels, grid)).png
    left = np.asarray(Image.open(io.BytesIO(png)))[:, :420]
    assert left.max() > 250
