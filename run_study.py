"""Entry point of the command line in `study/cli/`."""

import sys

try:
    from study.cli.main import main
except ModuleNotFoundError as error:
    if error.name is None or error.name.split(".")[0] in ("study", "search_spaces", "revit"):
        raise
    print(
        f"error: {sys.executable} has no {error.name}: `make study`, then `source .venv/bin/activate`",
        file=sys.stderr,
    )
    sys.exit(2)

if __name__ == "__main__":
    main()
