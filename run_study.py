"""The entry point of the command line, which is in `study/cli/`."""

from study.cli.main import main

if __name__ == "__main__":
    main()
