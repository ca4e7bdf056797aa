"""`fedrun export`: a run's model for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedrun.cli.arguments import OneRun
from fedrun.cli.collector import at_work
from fedrun.cli.completion import complete_form
from fedrun.cli.errors import told

if TYPE_CHECKING:
    from fedrun.experiment.export import Exported


def export(
    run: OneRun,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[data.root=FOLDER]", help="Where the data lie now.", show_default=False
        ),
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            metavar="FORM",
            help="onnx (needs the extra onnx), torchscript or safetensors.",
            autocompletion=complete_form,
        ),
    ] = "safetensors",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to.", show_default="RUN/export/model.*"),
    ] = None,
    checkpoint: Annotated[
        int | None,
        typer.Option(
            metavar="ROUND", min=0, help="The model after this round.", show_default="last"
        ),
    ] = None,
    client: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="This client's own model, where it has one."),
    ] = None,
) -> None:
    """Write the final model as one file, and what its user must know beside it.

    Of an unfinished run it is the model of the last checkpoint.
    The file is tried on test rows before it stands under its name.
    """
    with told():
        from fedrun.experiment.export import export as work

        at_work()
        done = work(run, to, out, checkpoint=checkpoint, client=client, overrides=overrides or [])
        show(done)


def show(done: Exported) -> None:
    """What was written, and what its user must know first."""
    from fedrun.experiment.protection import FITTED

    model, given, answer = (done.facts[part] for part in ("model", "input", "output"))
    print(f"{model['what']}, {model['parameters']:,} parameters, as {model['format']}")
    if "caution" in model:
        print(f"note     {model['caution']}")
    if FITTED in (done.facts["privacy"] or {}).get("caveats", []):
        print(f"note     no guarantee covers all: {FITTED}")
    print(f"input    {shaped(given)}; {given['preparation']['how']}")
    print(f"output   {shaped(answer)}; {answer['meaning']}")
    print(checked(done))
    print(f"\nfile     {done.file}\nfacts    {done.beside}")


def shaped(side: dict[str, object]) -> str:
    shape = side["shape"]
    assert isinstance(shape, list)
    return f"{side['dtype']} [{', '.join(map(str, shape))}]"


def checked(done: Exported) -> str:
    if done.difference is None:
        return "checked  not at all: nothing installed here runs all of its operations"
    return (
        f"checked  on {done.rows} test rows: within {done.difference:.1e} of the run's own outputs"
    )
