"""Static site of several reports: an index, a page for each study, one plotly.js for all.

It has no address of its own and loads nothing from elsewhere: it opens from a disk, and from any web server.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from plotly.offline import get_plotlyjs

from revit.errors import InputError
from revit.paths import check_writable
from study.report.figure_files import packed_plotly
from study.report.report_folder import REPORT
from study.report.writer import write_index

PLOTLY = "plotly.js"
CONTENTS = '<nav aria-label="Contents">'
LEFT_OUT = shutil.ignore_patterns("figures")
"""Files of a report that the site has no link to, and that its page has, too."""


def write_bundle(reports: Iterable[Path], folder: Path) -> Path:
    """Add reports to a static site, which is made if necessary; return the path of its index.

    Args:
        reports: folders of written reports; one of a study that the site has replaces it.

    Raises:
        InputError: the folder cannot be written, or is one of the reports or what they lie in.
    """
    check_writable(folder, "bundle")
    for report in reports:
        if folder.resolve() in (report.resolve(), report.resolve().parent):
            raise InputError(f"--bundle = {folder}: must be another folder than that of the reports")
        to = folder / report.name
        shutil.copytree(report, to, ignore=LEFT_OUT, dirs_exist_ok=True)
        page = to / "report.html"
        page.write_text(share_plotly(page.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / PLOTLY).write_text(get_plotlyjs(), encoding="utf-8")
    return write_index(folder)


def share_plotly(page: str) -> str:
    """Return a page that loads the plotly.js of the site, and has a link to its index."""
    packed = f'<script type="text/plain" id="plotly">{packed_plotly()}</script>'
    linked = page.replace(packed, f'<script src="../{PLOTLY}"></script>')
    return linked.replace(CONTENTS, f'{CONTENTS}<a href="../index.html">All studies</a>', 1)


def has_report(folder: Path) -> bool:
    """Return whether a folder has a report."""
    return (folder / REPORT).is_file() and (folder / "report.html").is_file()
