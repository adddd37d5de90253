"""Static site of several reports, read as files or opened in a browser."""

import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser
from plotly.offline import get_plotlyjs

from revit.errors import InputError
from study.report.bundle import PLOTLY, has_report, write_bundle

DRAWN = "document.querySelectorAll('.js-plotly-plot').length"


@pytest.fixture(scope="module")
def site(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bundled")
    shutil.copytree(folder, root / "reports" / "other study")
    write_bundle([folder], root / "site")
    return write_bundle([root / "reports" / "other study"], root / "site").parent


def test_a_site_has_an_index_a_page_per_study_and_plotly_once(site: Path, folder: Path) -> None:
    assert (site / PLOTLY).read_text() == get_plotlyjs()
    for study in ("looks", "other study"):
        page = (site / study / "report.html").read_text()
        assert len(page) < len((folder / "report.html").read_text()) - 1_000_000
        assert page.count(f'<script src="../{PLOTLY}"></script>') == 1
        assert 'id="plotly"' not in page
        assert json.loads((site / study / "report.json").read_text())["study"] == "looks"
    assert 'id="plotly"' in (folder / "report.html").read_text(), "the report itself is as it was"


def test_every_link_within_a_site_leads_to_a_file_of_it(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = re.sub(r"<script(?! src).*?</script>", "", page.read_text(), flags=re.DOTALL)
        links = [each for each in re.findall(r'(?:href|src)="([^"]+)"', text) if not each.startswith(("data:", "#"))]
        outside = [each for each in links if each.startswith(("http:", "https:"))]
        assert links
        assert all(f'<a href="{each}"' in text for each in outside), "loads nothing from elsewhere"
        for link in set(links) - set(outside):
            assert (page.parent / unquote(link)).resolve().is_relative_to(site.resolve())
            assert (page.parent / unquote(link)).is_file()


def test_a_site_works_from_a_disk(site: Path, browser: Browser) -> None:
    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(request.url))
    page.on(
        "request", lambda request: request.url.startswith(("file:", "data:", "blob:")) or problems.append(request.url)
    )
    page.goto((site / "index.html").as_uri())
    page.get_by_role("link", name="other study").click()
    page.wait_for_function(f"{DRAWN} > 0")
    page.get_by_role("link", name="All studies").click()
    assert page.title() == "Studies"
    assert problems == []
    page.close()


def test_a_site_does_not_lie_among_reports(folder: Path) -> None:
    for to in (folder, folder.parent):
        with pytest.raises(InputError, match="must be another folder than that of the reports"):
            write_bundle([folder], to)
    assert has_report(folder)
    assert not has_report(folder.parent)
