"""The command that was typed, and others on the same study and folders, as they can be typed again.

They are made from what was parsed, so that it does not matter how an option was written (`--store x`, `--store=x`),
and name the program as it was called. Options that came from the environment are left to the environment.
"""

import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer


def this_command(context: typer.Context, *more: str) -> str:
    """Return what was typed, and more words behind it."""
    return _command_line(context.command.name, *_words(context.command, context), *more)


def next_command(context: typer.Context, name: str, **values: str) -> str:
    """Return another command with every typed option that it has, too.

    Args:
        values: parameters that are given in place of what was typed.
    """
    return _command_line(name, *_words(context.find_root().command.commands[name], context, values))  # type: ignore[attr-defined]  # the root is a group


def _words(command: Any, context: typer.Context, instead: dict[str, str] | None = None) -> Iterator[str]:
    for parameter in command.params:
        value = {**_typed(context), **(instead or {})}.get(parameter.name)
        if value is None:
            continue
        values = value if isinstance(value, list | tuple) else [value]
        if parameter.param_type_name == "argument":
            yield from map(str, values)
        elif parameter.is_flag:
            yield parameter.opts[0]
        else:
            yield from (word for each in values for word in (parameter.opts[0], str(each)))


def _typed(context: typer.Context) -> dict[str, Any]:
    """Return the values of all parameters that were given on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name: context.params[name] for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def _command_line(*words: str | None) -> str:
    """Return the words as a shell takes them; a path that is not text is shown escaped."""
    line = shlex.join([*_program(), *filter(None, words)])
    return line.encode(errors="backslashreplace").decode()


def _program() -> list[str]:
    """Return how this program is called from here: by its console script, or by an interpreter and a file."""
    program = Path(sys.argv[0])
    if program.suffix == ".py":
        return [_shortest(Path(sys.executable)), _relative(program)]
    return [_shortest(program.absolute())]


def _shortest(program: Path) -> str:
    """Return a program's name where the shell finds it by that, else its path."""
    for name in ("python", program.name) if program == Path(sys.executable) else (program.name,):
        found = shutil.which(name)
        if found is not None and Path(found) == program:
            return name
    return _relative(program)


def _relative(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
