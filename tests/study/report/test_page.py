"""The page in a browser: layout, folding, sorting, printing, accessibility, looks.

Its looks are compared with pictures in pictures/, a sixteenth of the pixels, in a font that every machine has:

    NEW_PICTURES=1 python -m pytest tests/study/report/test_page.py -n0

draws them again. Look at each before it is committed.
"""

import base64
import html
import io
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page
from pypdf import PdfReader

PICTURES = Path(__file__).parent / "pictures"
FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"
SCREEN = {"width": 1280, "height": 800}
SHRINK = 4
MAX_BLOCK_DIFFERENCE = 12
"""Largest difference of the mean of 16 x 16 pixels of a picture, of 255: a line of text has about 60."""
BLOCK = 16
ALL_DRAWN = "!document.querySelector('figure:not(:has(.main-svg))')"
TOPS = "all => all.map(each => Math.round(each.getBoundingClientRect().top + scrollY))"


@pytest.fixture(scope="module")
def page(browser: Browser, folder: Path) -> Iterator[Page]:
    """Provide the page of the small study on a screen, all figures drawn."""
    with browser.new_page(viewport=SCREEN) as page:
        yield show(page, folder)


def show(page: Page, folder: Path) -> Page:
    page.goto((folder / "report.html").as_uri())
    page.wait_for_function(ALL_DRAWN)
    return page


def test_the_first_two_screens_carry_question_answer_results_and_claims(page: Page) -> None:
    parts = ["h1", ".answer", "table.results", "table.claims"]
    bottoms = [box["y"] + box["height"] for part in parts if (box := page.locator(part).bounding_box())]
    assert len(bottoms) == len(parts)
    assert bottoms == sorted(bottoms)
    assert bottoms[-1] < 2 * SCREEN["height"]


def test_the_contents_lead_to_every_section(page: Page) -> None:
    targets = page.locator("nav a").evaluate_all("all => all.map(each => each.hash.slice(1))")
    assert targets == page.locator("h2").evaluate_all("all => all.map(each => each.id)")
    assert {"results", "claims", "figures", "setup"} <= set(targets)


def test_figures_stand_two_abreast_where_they_fit(page: Page) -> None:
    tops = page.locator(".figures > figure:not(.across)").evaluate_all(TOPS)
    assert len(tops) - len(set(tops)) == len(tops) // 2
    page.set_viewport_size({"width": 390, "height": 800})
    assert len(set(page.locator(".figures > figure").evaluate_all(TOPS))) == page.locator(".figures > figure").count()
    page.set_viewport_size(SCREEN)


def test_a_table_sorts_by_mouse_and_by_keyboard(page: Page) -> None:
    heading = page.locator("table.results th[scope=col]", has_text="resolution 28")
    cells = page.locator("table.results tbody tr td:last-child")
    first = cells.all_inner_texts()
    heading.locator("button").click()
    rising = [float(text.split()[0]) for text in cells.all_inner_texts()]
    assert rising == sorted(rising)
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.locator("button").press("Enter")
    assert [float(text.split()[0]) for text in cells.all_inner_texts()] == rising[::-1]
    assert heading.get_attribute("aria-sort") == "descending"
    heading.locator("button").press("Space")
    assert cells.all_inner_texts() == first
    assert heading.get_attribute("aria-sort") is None


def test_numbers_sort_by_size_and_before_texts(page: Page) -> None:
    texts = ["-", "1,200", "< 0.001", "-3.5 [1, 2]", "93.04 (best)", "1e-05"]
    rows = "".join(f"<tr><td>{html.escape(text)}</td></tr>" for text in texts)
    table = f"<table class=trial><thead><tr><th>p</th></tr></thead><tbody>{rows}</tbody></table>"
    page.evaluate("table => document.body.insertAdjacentHTML('beforeend', table)", table)
    page.evaluate("makeSortable(document.querySelector('.trial'))")
    page.locator("table.trial button").click()
    texts = page.locator("table.trial td").all_inner_texts()
    page.locator("table.trial").evaluate("table => table.remove()")
    assert texts == ["-3.5 [1, 2]", "1e-05", "< 0.001", "93.04 (best)", "1,200", "-"]


def test_what_is_for_looking_up_is_folded_and_printing_opens_it(page: Page) -> None:
    assert page.locator("details[open]").count() == 0
    assert page.locator("details figure").count() > page.locator(".figures > figure").count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


def test_no_page_break_cuts_a_figure(page: Page) -> None:
    """Title and caption of each figure are on one page of the PDF."""
    titles = page.locator(".figures figure h3, .lookup summary").all_inner_texts()
    captions = page.locator("figcaption").evaluate_all("all => all.map(each => each.textContent)")
    pages = [letters(each.extract_text()) for each in PdfReader(io.BytesIO(page.pdf(format="A4"))).pages]
    assert len(titles) == len(captions) > 10
    for title, caption in zip(titles, captions, strict=True):
        parts = letters(title), letters(caption)[-40:]
        assert any(all(part in text for part in parts) for text in pages), title


def letters(text: str) -> str:
    """Return a text without spaces and ligatures."""
    return "".join(unicodedata.normalize("NFKC", text).split())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_passes_axe(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.locator("details").evaluate_all("all => { for (const each of all) each.open = true; }")
    plots = {} if scheme == "light" else {"exclude": [[".plot"]]}  # other tests look at their text
    results = Axe().run(page, context=plots, options={"resultTypes": ["violations"], "preload": False}).response
    page.locator("details").evaluate_all("all => { for (const each of all) each.open = false; }")
    page.emulate_media(color_scheme="light")
    assert len(results["passes"]) > 30
    found = {rule["id"]: [node["html"][:200] for node in rule["nodes"]] for rule in results["violations"]}
    assert found == {}


@pytest.mark.parametrize("name", ["light", "dark", "phone", "print"])
def test_the_page_looks_as_it_did(page: Page, name: str) -> None:
    shown = take_picture(page, name)
    path = PICTURES / f"{name}.png"
    if os.environ.get("NEW_PICTURES"):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(shown).save(path, optimize=True)
    expected = np.asarray(Image.open(path))
    assert shown.shape == expected.shape
    assert np.abs(block_means(shown) - block_means(expected)).max() < MAX_BLOCK_DIFFERENCE


def take_picture(page: Page, name: str) -> npt.NDArray[np.uint8]:
    """Return the first two screens of the page, or its first sheet of paper, small and gray (H, W)."""
    width, height = {"phone": (390, 1688), "print": (704, 1000)}.get(name, (1280, 1600))
    page.emulate_media(
        color_scheme="dark" if name == "dark" else "light", media="print" if name == "print" else "screen"
    )
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate("window.scrollTo(0, 0)")
    style = page.add_style_tag(content=font_style())
    page.evaluate("document.fonts.ready")
    page.evaluate("document.querySelectorAll('.js-plotly-plot').forEach(plot => plot.style.visibility = 'hidden')")
    png = page.screenshot()
    style.evaluate("style => style.remove()")
    page.evaluate("document.querySelectorAll('.js-plotly-plot').forEach(plot => plot.style.visibility = '')")
    page.set_viewport_size(SCREEN)
    page.emulate_media(color_scheme="light", media="screen")
    return np.asarray(Image.open(io.BytesIO(png)).convert("L").reduce(SHRINK))


def font_style() -> str:
    """Return a style that sets all text in a font that comes with matplotlib."""
    faces = [
        f"@font-face {{ font-family: Fixed; font-weight: {weight}; src: url(data:font/ttf;base64,"
        f"{base64.b64encode((FONTS / name).read_bytes()).decode()}); }}"
        for name, weight in (("DejaVuSans.ttf", "normal"), ("DejaVuSans-Bold.ttf", "bold"))
    ]
    return "\n".join([*faces, "* { font-family: Fixed !important; }"])


def block_means(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return the mean of each whole block of BLOCK x BLOCK pixels."""
    height, width = (size // BLOCK for size in picture.shape)
    blocks = picture[: height * BLOCK, : width * BLOCK].reshape(height, BLOCK, width, BLOCK)
    means: npt.NDArray[np.float64] = blocks.mean(axis=(1, 3))
    return means
