"""The report: its numbers, its files, and its charts as a browser draws them."""

import csv
import json
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops
from playwright.async_api import Browser, Locator, async_playwright

from waybill.load.report.axes import axis, nice, number
from waybill.load.report.files import write, write_orders, write_samples
from waybill.load.report.model import Bars, Chart, Moment, Section, Series, Table
from waybill.load.report.page import page
from waybill.load.report.svg import MOST_POINTS, NARROW, WIDE, Format, bars, lines, thin

from . import load_recorded as recorded

CHROMIUM = shutil.which("chromium")
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NEAR = 24
"""By which a colour may differ, of 255: edges are blended."""
DRAWN = 25
"""Pixels of a series' colour at least, if it is drawn."""
finite = st.floats(min_value=-1e9, max_value=1e9)


@given(st.lists(finite, min_size=1, max_size=20), st.integers(2, 10))
def test_an_axis_holds_all_its_values_and_has_few_ticks(values: list[float], count: int) -> None:
    made = axis(values, count=count)
    slack = 1e-8 * (made.most - made.least)  # far less than a pixel
    assert made.least - slack <= min(values)
    assert max(values) <= made.most + slack
    assert 2 <= len(made.ticks) <= count + 3
    assert all(-1e-8 <= made.part(tick) <= 1 + 1e-8 for tick in made.ticks)


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_a_step_is_one_two_or_five_with_zeros(rough: float) -> None:
    step = nice(rough)
    assert rough <= step * (1 + 1e-6) <= rough * 2.5 * (1 + 1e-5)
    assert re.fullmatch(r"[125](\.0+)?e[+-]\d+", f"{step:e}")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234567, "1,234,567"),
        (9999.4, "9999"),
        (9999.7, "10,000"),
        (99.5, "99.5"),
        (1.25, "1.25"),
        (0.0123, "0.0123"),
        (0.00001, "0"),
        (-2, "-2"),
    ],
)
def test_a_number_has_the_digits_that_say_something(value: float, text: str) -> None:
    assert number(value) == text


@given(st.lists(st.tuples(finite, finite), max_size=3_000))
def test_a_line_with_fewer_points_keeps_its_peaks(points: list[tuple[float, float]]) -> None:
    kept = thin(points)
    assert len(kept) <= max(MOST_POINTS, 1) + 2
    if points:
        assert max(y for _, y in kept) == max(y for _, y in points)
        assert min(y for _, y in kept) == min(y for _, y in points)


@pytest.mark.parametrize("form", [WIDE, NARROW])
def test_a_chart_is_well_formed_and_stays_within_its_frame(form: Format) -> None:
    for section in recorded.document().sections:
        for drawing in [*(lines(each, form) for each in section.charts), *(bars(each, form) for each in section.bars)]:
            root = ET.fromstring(drawing)
            _, _, width, height = (float(part) for part in root.attrib["viewBox"].split())
            for line in root.iter("polyline"):
                places = [tuple(map(float, place.split(","))) for place in line.attrib["points"].split()]
                assert all(0 <= x <= width and 0 <= y <= height for x, y in places)


def test_words_in_a_chart_are_no_markup() -> None:
    chart = Chart("<b>", "<i>", "&", [Series("<s>", [(0, 1), (1, 2)])], markers=True)
    assert ET.fromstring(lines(chart, WIDE)).attrib["aria-label"] == "<b>"


def test_words_of_moments_do_not_lie_upon_each_other() -> None:
    moments = [Moment(at, "something happened") for at in (5.0, 5.1, 5.2, 9.9, 0.0)]
    chart = Chart("t", "x", "y", [Series("s", [(0, 1), (10, 2)])], moments=moments)
    said = [each for each in ET.fromstring(lines(chart, WIDE)).iter("text") if each.text == "something happened"]
    boxes = [(float(each.attrib["x"]), float(each.attrib["y"])) for each in said]
    width = len("something happened") * 6
    for one, (x, y) in enumerate(boxes):
        assert 0 <= x <= WIDE.width - width
        assert not any(y == other_y and abs(x - other_x) < width for other_x, other_y in boxes[one + 1 :])


def test_a_chart_of_nothing_is_an_empty_frame() -> None:
    drawing = lines(Chart("nothing", "x", "y", [Series("none", [])]), WIDE)
    assert ET.fromstring(drawing).tag == "svg"


def test_the_page_needs_nothing_from_elsewhere_and_takes_no_words_for_markup() -> None:
    html = page(recorded.document())
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert not re.search(r"""(src|href)=["'](?!#)|url\(|@import""", html)


def test_the_document_for_machines_holds_what_the_page_shows(tmp_path: Path) -> None:
    document = recorded.document()
    assert write(tmp_path, document).name == "report.html"
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(document.as_json()))
    assert (tmp_path / "report.html").read_text() == page(document)


def test_points_without_a_place_leave_the_others_of_a_line() -> None:
    drawing = lines(Chart("c", "x", "y", [Series("s", [(0, 1), (1, float("inf")), (2, float("nan")), (3, 4)])]), WIDE)
    assert "nan" not in drawing
    assert "inf" not in drawing
    [points] = re.findall(r'<polyline class="series s0" points="([^"]+)"', drawing)
    assert len(points.split()) == 2


def test_tables_samples_and_orders_stand_beside_it(tmp_path: Path) -> None:
    write(tmp_path, recorded.document())
    write_samples(tmp_path / "samples.csv", recorded.samples(), recorded.BEGAN)
    write_orders(tmp_path / "orders.csv", recorded.entries(), recorded.BEGAN)
    tables = {path.name: list(csv.DictReader(path.read_text().splitlines())) for path in tmp_path.glob("*.csv")}
    assert len(tables["samples.csv"]) == recorded.SECONDS
    assert tables["samples.csv"][30]["backlog/shipping/activity"] == "40.0"
    assert len(tables["orders.csv"]) == recorded.RATE * recorded.SECONDS
    assert tables["orders.csv"][0]["outcome"] == "fulfilled"
    assert tables["01-orders-at-a-rate-latency.csv"][0]["ended"] == "3000"


def test_tables_of_the_report_before_it_are_gone_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    document = recorded.document()
    write(tmp_path, replace(document, sections=[Section("Of before", tables=[Table("Old", (), [])] * 2)]))
    (tmp_path / "01-notes.csv").write_text("mine")
    write(tmp_path, document)
    assert not list(tmp_path.glob("*old*"))
    assert (tmp_path / "01-orders-at-a-rate-latency.csv").exists()
    assert (tmp_path / "01-notes.csv").read_text() == "mine"


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"sections": 3}', '{"sections": [{}]}'])
def test_a_document_that_is_none_of_ours_has_no_tables_to_delete(text: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(text)
    (tmp_path / "01-notes.csv").write_text("mine")
    write(tmp_path, recorded.document())
    assert (tmp_path / "01-notes.csv").exists()


def test_tables_of_one_title_do_not_overwrite_each_other(tmp_path: Path) -> None:
    tables = [Table(title, (words,), []) for title, words in (("A", "1"), ("A", "2"), ("A 2", "3"), ("B", "4"))]
    write(tmp_path, replace(recorded.document(), sections=[Section("S", tables=tables), Section("S", tables=tables)]))
    names = ("s-a", "s-a-2", "s-a-2-2", "s-b")
    assert {path.name: path.read_text().strip() for path in tmp_path.glob("*.csv")} == {
        f"{section}-{name}.csv": str(place) for section in ("01", "02") for place, name in enumerate(names, 1)
    }


@pytest_asyncio.fixture(loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium (Debian: apt-get install --no-install-recommends chromium)")
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield opened
        await opened.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1000), ("dark", 1000), ("light", 390), ("dark", 390)])
async def test_a_browser_draws_every_line_in_light_and_dark_on_a_screen_and_on_a_phone(
    browser: Browser, tmp_path: Path, scheme: str, width: int
) -> None:
    document = recorded.document()
    write(tmp_path, document)
    context = await browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": 900}
    )
    opened = await context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: complaints.append(request.url) if "report.html" not in request.url else None)
    await opened.goto((tmp_path / "report.html").as_uri())
    assert complaints == []
    assert await opened.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")

    charts: list[Chart | Bars] = []
    for section in document.sections:
        charts += section.charts
        charts += section.bars
    shown = opened.locator("figure svg:visible")
    assert await shown.count() == len(charts)
    for place, chart in enumerate(charts):
        drawing = shown.nth(place)
        colours = await _colours(drawing)
        expected = len(chart.series) if isinstance(chart, Chart) else len(chart.parts)
        assert len(colours) == expected, chart.title
        picture = await drawing.screenshot()
        for name, count in _counted(picture, colours).items():
            assert count >= DRAWN, f"{chart.title}: {name} has {count} pixels"
        dashed = drawing.locator(".reference")
        assert await dashed.count() == (isinstance(chart, Chart) and chart.reference is not None), chart.title
        if await dashed.count():
            # Its colour is that of letters too: what matters is which pixels go when it goes.
            await dashed.evaluate("line => { line.style.visibility = 'hidden' }")
            count = _different(picture, await drawing.screenshot())
            assert count >= DRAWN, f"{chart.title}: the dashed line has {count} pixels"
    paper = Image.open(BytesIO(await opened.screenshot())).convert("L").getpixel((2, 2))
    assert isinstance(paper, int | float)
    assert (paper < 64) == (scheme == "dark")
    await context.close()


async def _colours(drawing: Locator) -> list[tuple[int, int, int]]:
    """Of each series, as the browser resolves them."""
    found: list[str] = await drawing.evaluate(
        """svg => [...new Set([...svg.querySelectorAll('.series, .bar')].map(each => {
            const style = getComputedStyle(each);
            return style.fill === 'none' ? style.stroke : style.fill;
        }))]"""
    )
    triples = [[int(part) for part in re.findall(r"\d+", colour)[:3]] for colour in found]
    return [(red, green, blue) for red, green, blue in triples]


def _different(one: bytes, other: bytes) -> int:
    """Pixels that two pictures do not share."""
    first, second = (Image.open(BytesIO(picture)).convert("RGB") for picture in (one, other))
    assert first.size == second.size
    change = ImageChops.difference(first, second).convert("L")
    return sum(change.point(lambda value: value > NEAR).histogram()[1:])


def _counted(picture: bytes, colours: list[tuple[int, int, int]]) -> dict[str, int]:
    """Pixels of each colour."""
    image = Image.open(BytesIO(picture)).convert("RGB")
    pixels = image.getcolors(maxcolors=image.width * image.height) or []
    counts = {}
    for colour in colours:
        near = (
            count
            for count, seen in pixels
            if isinstance(seen, tuple)
            and all(abs(one - other) <= NEAR for one, other in zip(seen, colour, strict=True))
        )
        counts[str(colour)] = sum(near)
    return counts
