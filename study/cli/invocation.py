"""Command lines that can be copied: the current one, or another command on the same study.

They are rebuilt from the parsed values, so `--store x` equals `--store=x`. Values from environment variables are left
out. The program is named as it was called.
"""

import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer


def this_command(context: typer.Context, *extra: str) -> str:
    """Return the current command line with extra words at its end."""
    return _command_line(context.command.name, *_words(context.command, context), *extra)


def next_command(context: typer.Context, name: str, **values: str) -> str:
    """Return another command with those of the current options that it has.

    Args:
        values: parameters that replace current ones.
    """
    return _command_line(name, *_words(context.find_root().command.commands[name], context, values))  # type: ignore[attr-defined]  # the root is a group


def _words(command: Any, context: typer.Context, replaced: dict[str, str] | None = None) -> Iterator[str]:
    sources = {name: context.get_parameter_source(name) for name in context.params}
    typed = {name: context.params[name] for name, source in sources.items() if source and source.name == "COMMANDLINE"}
    for parameter in command.params:
        value = {**typed, **(replaced or {})}.get(parameter.name)
        if value is None:
            continue
        values = value if isinstance(value, list | tuple) else [value]
        if parameter.param_type_name == "argument":
            yield from map(str, values)
        elif parameter.is_flag:
            yield parameter.opts[0]
        else:
            yield from (word for each in values for word in (parameter.opts[0], str(each)))


def _command_line(*words: str | None) -> str:
    """Return words quoted for a shell, after this program; bytes that are not text are escaped."""
    program = Path(sys.argv[0])
    if program.suffix == ".py":
        called = [_shortest(Path(sys.executable)), _relative(program)]
    else:
        called = [_shortest(program.absolute())]
    return shlex.join([*called, *filter(None, words)]).encode(errors="backslashreplace").decode()


def _shortest(program: Path) -> str:
    """Return a program's name if the shell finds it by name, else its path."""
    for name in ("python", program.name) if program == Path(sys.executable) else (program.name,):
        found = shutil.which(name)
        if found is not None and Path(found) == program:
            return name
    return _relative(program)


def _relative(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
