"""The page: one file, without scripts and without anything from elsewhere."""

from importlib import resources

import jinja2
from markupsafe import Markup

from waybill.load.report import svg
from waybill.load.report.model import Document


def page(document: Document) -> str:
    """The report as HTML."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    text = resources.files("waybill.load.report").joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(text).render(
        document=document,
        # Both escape what they are told.
        lines=lambda chart, form: Markup(svg.lines(chart, form)),  # noqa: S704
        bars=lambda chart, form: Markup(svg.bars(chart, form)),  # noqa: S704
        wide=svg.WIDE,
        narrow=svg.NARROW,
    )
