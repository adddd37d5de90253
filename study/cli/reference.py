"""Reference of the command line as Markdown, made from the commands themselves."""

import inspect
from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from study.cli.main import app

PROGRAM = "python run_study.py"


def commands_page() -> str:
    """Return a page with every command: usage, what it does, arguments, options, examples."""
    program: Any = get_command(app)
    sections = [_section(name, command) for name, command in program.commands.items()]
    options = "\n".join(_parameters(program, typer.Context(program, info_name=PROGRAM)))
    return "\n\n".join(["# Command line", program.help, program.epilog, options, *sections]) + "\n"


def _section(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=f"{PROGRAM} {name}")
    usage = " ".join([f"{PROGRAM} {name}", *command.collect_usage_pieces(context)])
    *_, examples = command.epilog.partition("Examples:\n")
    texts = inspect.cleandoc(command.help), "\n".join(_parameters(command, context)), _block(inspect.cleandoc(examples))
    return "\n\n".join([f"## {name}", _block(usage), *texts])


def _block(text: str) -> str:
    return f"```\n{text}\n```"


def _parameters(command: Any, context: typer.Context) -> Iterator[str]:
    """Yield a line of a list for each argument and option, but `--help`."""
    for parameter in command.params:
        signature, meaning = parameter.get_help_record(context)
        variable = f" [env var: `{parameter.envvar}`]" if parameter.envvar else ""
        yield f"- `{signature}`: {' '.join(meaning.split())}{variable}"
