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


def next_command(context: typer.Context, name: str, **values: str | list[str] | None) -> str:
    """Return another command with those of the current options that it has.

    A command that needs a study, where the current one has none, gets the quickstart.

    Args:
        values: values of parameters that replace the current ones; None leaves one out.
    """
    values = values if context.params.get("study") else {"study": "quickstart", **values}
    return _command_line(name, *_words(context.find_root().command.commands[name], context, values))  # type: ignore[attr-defined]  # the root is a group


def _words(
    command: Any, context: typer.Context, replaced: dict[str, str | list[str] | None] | None = None
) -> Iterator[str]:
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
    script = Path(sys.argv[0])
    if script.suffix == ".py":
        called = [sys.orig_argv[0], str(script)]
    else:
        called = [script.name if shutil.which(script.name) == str(script) else str(script.absolute())]
    return shlex.join([*called, *filter(None, words)]).encode(errors="backslashreplace").decode()
