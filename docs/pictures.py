"""Draw the pictures in docs/: plan, status and report of the quickstart, or any report.

    python -m docs.pictures
    python -m docs.pictures reports/attention_only-vit_2021-nano/report.html three_things

The first trains the quickstart in a store of its own, for some minutes; both need Chromium. The second writes the first
two screens of a report to docs/three_things.png. Pictures of a terminal have a dark window, readable on any page.
"""

import io
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from unittest import mock

from PIL import Image
from rich._export_format import CONSOLE_SVG_FORMAT

from study.cli.console import out
from study.cli.main import main
from tests.browser import launch_browser

ROOT = Path(__file__).parent.parent
STUDY, NUM_DONE, WIDTH = "quickstart", 5, 110
SVG_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
"""Rich's, without fonts from the net."""


def record(name: str, *arguments: str) -> str:
    """Return what a command prints, as SVG.

    Args:
        name: prefix of the picture's styles: a page may show several.
        arguments: of the program.
    """
    shown = [word for word in arguments if word != "--store" and not word.startswith(os.sep)]
    with (
        mock.patch.object(sys, "argv", ["run_study.py", *arguments]),
        mock.patch.multiple(out, record=True, _width=WIDTH, _file=io.StringIO()),
    ):
        with suppress(SystemExit):
            main()
        return out.export_svg(title=f"python run_study.py {' '.join(shown)}", code_format=SVG_FORMAT, unique_id=name)


def photograph(page: Path, name: str = "report") -> None:
    """Write docs/NAME.png: the first two screens of a report, in few colors."""
    with launch_browser() as browser, browser.new_page(viewport={"width": 1280, "height": 1500}) as view:
        view.set_default_timeout(300_000)  # a busy machine draws slowly
        view.goto(page.resolve().as_uri())
        view.wait_for_function("!document.querySelector('figure:not(:has(.main-svg))')")
        picture = Image.open(io.BytesIO(view.screenshot()))
    picture.quantize(256).save(ROOT / "docs" / f"{name}.png", optimize=True)


def draw() -> None:
    """Write docs/plan.svg, docs/status.svg and docs/report.png."""
    with tempfile.TemporaryDirectory(prefix="vit-fine-tuning-") as folder:
        where = [STUDY, "--store", f"{folder}/mlruns"]
        (ROOT / "docs" / "plan.svg").write_text(record("plan", "plan", *where), encoding="utf-8")
        command = [sys.executable, "run_study.py", "run", *where]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            next(line for line in process.stdout if line.startswith(f"{NUM_DONE}/"))
            time.sleep(3)  # the next trials have reported a step
            (ROOT / "docs" / "status.svg").write_text(record("status", "status", *where), encoding="utf-8")
            process.communicate()
        record("report", "report", *where, "--reports", folder)
        photograph(Path(folder, STUDY, "report.html"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        photograph(Path(sys.argv[1]), sys.argv[2])
    else:
        draw()
