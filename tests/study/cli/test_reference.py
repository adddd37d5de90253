"""The reference of commands is that of the program."""

import re

from study.cli.main import COMMANDS
from study.cli.reference import commands_page


def test_a_command_has_usage_meaning_options_examples() -> None:
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", commands_page(), flags=re.MULTILINE | re.DOTALL))
    assert list(sections) == list(COMMANDS)
    for name, (function, examples) in COMMANDS.items():
        usage, *_, lines = re.findall(r"```\n(.*?)\n```", sections[name], flags=re.DOTALL)
        assert usage.startswith(f"python run_study.py {name} [OPTIONS]")
        assert lines.splitlines() == [f"python run_study.py {example}" for example in examples]
        assert (function.__doc__ or "").partition("\n")[0] in sections[name]
    assert "\n- `--fix`: Repair what is marked fixable.\n" in sections["doctor"]
