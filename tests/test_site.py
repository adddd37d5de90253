"""The site of docs/ is built without network, its links lead somewhere, and it shows what the code has."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from typer.main import get_command

from docs import pictures
from study.cli.main import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RESOURCES = re.compile(r"""(?:\bsrc=|<link[^>]*\bhref=|\burl\(|@import )["']?(\w+:)?//""")
"""Addresses that a browser loads a script, a style, a font or a picture from."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site. A link, or an anchor, that leads nowhere is an error of its build."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_in_its_navigation(site: Path) -> None:
    index = (site / "index.html").read_text()
    for page in PAGES[1:]:
        assert f'href="{page.stem.lower()}.html" class="md-nav__link"' in index, page.name


def test_it_loads_nothing_from_the_net(site: Path) -> None:
    texts = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert len(texts) > len(PAGES)
    assert {path.name: found for path in texts if (found := RESOURCES.findall(path.read_text()))} == {}


def test_its_reference_has_every_command_with_every_option(site: Path) -> None:
    page = (site / "commands.html").read_text()
    for name, command in get_command(app).commands.items():
        section = page.partition(f'<h2 id="{name}">')[2].partition("<h2 ")[0]
        options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
        assert [option for option in options if f"<code>{option}" not in section] == [], name


def test_a_link_to_a_file_of_the_tree_shows_its_source(site: Path) -> None:
    assert 'href="source/search_spaces/quickstart.py.html"' in (site / "index.html").read_text()
    shown = re.sub(r"<[^>]*>", "", (site / "source/search_spaces/quickstart.py.html").read_text())
    assert (ROOT / "search_spaces/quickstart.py").read_text().splitlines()[0] in shown


def test_pictures_of_a_terminal_load_nothing_and_show_what_a_command_prints() -> None:
    drawn = {"models": pictures.record("models", "models")}
    drawn |= {path.stem: path.read_text() for path in (ROOT / "docs").glob("*.svg")}
    assert drawn.keys() == {"models", "plan", "status"}
    assert {name for name, text in drawn.items() if re.search(r"url\([^#]|@import|href", text)} == set()
    texts = {name: re.sub(r"<[^>]*>", "", text).replace("&#160;", " ") for name, text in drawn.items()}
    assert "vit_nano" in texts["models"]
    for shown in ("s a step", "to train: 12 trials", "device time", "Next steps"):
        assert shown in texts["plan"]
    for shown in ("/12 trials", "val accuracy, %", "95 % interval", "log: ", "next: "):
        assert shown in texts["status"]


def test_settings_that_hold_the_build_strict() -> None:
    """Without them, the build does not fail by itself."""
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert settings["strict"]
    assert settings["validation"]["links"]["anchors"] == "warn"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_to_other_sites_have_the_form_of_an_address(page: Path) -> None:
    for target in re.findall(r"\]\((\w+:[^)\s]*)\)", page.read_text()):
        address = urlsplit(target)
        assert address.scheme == "https" and "." in address.netloc and not address.username, target
