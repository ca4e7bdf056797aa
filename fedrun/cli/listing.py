"""`fedrun list`: what there is to choose from."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from fedrun.cli.completion import complete_group
from fedrun.cli.errors import told
from fedrun.cli.theme import THEME
from fedrun.core.option import ConfigError


def list_choices(
    group: Annotated[
        str | None,
        typer.Argument(
            help="data, partition, model, ... or config.",
            autocompletion=complete_group,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show every choice with what it is; of one group also its options, types and defaults."""
    with told():
        from fedrun.experiment import choices

        console = Console(theme=THEME, highlight=False)
        if group is None:
            overview(console)
        elif group == "config":
            configs(console)
        elif group in choices.groups():
            details(console, group)
        else:
            from fedrun.experiment.suggest import did_you_mean, nearest_key

            known = [*choices.groups(), "config"]
            hint = did_you_mean(nearest_key(group, known))
            raise ConfigError(f"there is no group {group!r}{hint} (groups: {', '.join(known)})")


def overview(console: Console) -> None:
    """One line a choice, group by group; the default choice is marked."""
    from fedrun.experiment import choices

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("group", "choice", "what it is"):
        table.add_column(heading, style="bold" if heading == "choice" else "")
    for group, default in choices.defaults().items():
        for position, choice in enumerate(choices.choices(group)):
            mark = " *" if choice == default else ""
            table.add_row(
                "" if position else group, choice + mark, escape(choices.doc(group, choice))
            )
    console.print(table)
    console.print(
        "\n* is taken when nothing else is said.  "
        "Options of a group: fedrun list GROUP.  Configs: fedrun list config"
    )


def configs(console: Console) -> None:
    """What `config=` may name, with the command on each file's first line."""
    from fedrun.experiment import choices

    for name in choices.config_names():
        first = (choices.folder() / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0]
        console.print(f"[bold]{name}[/]  {escape(first.lstrip('# '))}")


def details(console: Console, group: str) -> None:
    """Every choice of a group with its options, from the factories' own signatures."""
    from fedrun.experiment import choices
    from fedrun.experiment.bind import options_of

    if group in choices.SEVERAL:
        some = ",".join(choice for choice in choices.choices(group) if choice != choices.NOBODY)
        console.print(f"[muted]several at once: {group}=\\[{some}][/]\n", soft_wrap=True)
    for choice in choices.choices(group):
        console.print(f"[bold]{group}={choice}[/]  {escape(choices.doc(group, choice))}")
        options = options_of(group, choice)
        if not options:
            console.print("  no options\n")
            continue
        defaults, where = choices.node_of(group, choice), choices.where(group, choice)
        for option in options.values():
            default = plain(defaults.get(option.name, option.default))
            has_range = any(sign.isdigit() for sign in option.accepted)
            accepted = f": {option.accepted}" if has_range else ""
            console.print(
                f"  [key]{where}.{option.name}[/] = {escape(default)}  "
                f"[muted]{escape(option.type + accepted)}[/]",
                soft_wrap=True,
            )
            console.print(Padding(escape(option.doc), (0, 0, 0, 6)))
        console.print()


def plain(value: object) -> str:
    """A default as one would write it on the command line."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
