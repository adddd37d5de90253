"""Pages of the site beside those in docs/: README, CONTRIBUTING, the commands, the files that pages link to.

Links in a page are those that work in a checkout. In the site, a link to a file elsewhere in the tree leads to a page
with its source.
"""

import json
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from study.cli.reference import commands_page

ROOT = Path(__file__).parent.parent
MOVED = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md"}
"""Page of the site, by its path in the tree."""
LINK = re.compile(r"(?<=\]\()(?!\w+:)([\w./-]+)")
LANGUAGES = {".py": "python", ".toml": "toml", ".csv": "text", ".sh": "bash", ".yaml": "yaml"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    written = {page: (ROOT / path).read_text() for path, page in MOVED.items()}
    written["commands.md"] = commands_page()
    for path in [*(ROOT / path for path in MOVED), *(ROOT / "docs").glob("*.md")]:
        for target in LINK.findall(path.read_text()):
            source = (path.parent / target).resolve()
            page = _page_of(source)
            if page.startswith("source/") and source.is_file():
                written[page] = _source_page(source)
    for page, content in written.items():
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Return a page whose links lead to pages of the site."""
    if page.file.src_uri.startswith("source/"):
        return markdown
    path = next((path for path, moved in MOVED.items() if moved == page.file.src_uri), f"docs/{page.file.src_uri}")
    folder = (ROOT / path).parent
    return LINK.sub(lambda link: "/" + _page_of((folder / link[1]).resolve()), markdown)


def _page_of(path: Path) -> str:
    """Return the page, or the picture, of the site for a file of the tree."""
    name = path.relative_to(ROOT).as_posix()
    return MOVED.get(name) or (name.removeprefix("docs/") if name.startswith("docs/") else f"source/{name}.md")


def _source_page(path: Path) -> str:
    """Return a page that shows a file."""
    text = path.read_text()
    title = f"# {path.relative_to(ROOT)}\n\n"
    if path.suffix == ".md":
        return text
    if path.suffix == ".ipynb":
        cells = ((cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"])
        return title + "\n\n".join(body if kind == "markdown" else f"```python\n{body}\n```" for kind, body in cells)
    return f"{title}````{LANGUAGES.get(path.suffix, 'text')}\n{text}````\n"
