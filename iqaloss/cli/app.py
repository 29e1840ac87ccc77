"""The commands, put together."""

from __future__ import annotations

import sys
from typing import Any

import typer
import typer.main

from iqaloss._text import shown
from iqaloss.cli import (
    bench,
    cite,
    compare,
    doctor,
    evaluate,
    explain,
    export,
    finetune,
    models,
    options,
    probe,
    protocol,
    rank,
    restore,
    score,
    search,
    train,
    tune,
)

HELP = """
Frozen image quality models as losses for image restoration.

Score a picture:              iqaloss score photo.png

See where it looks:           iqaloss explain photo.png --out explained.html

Compare folders of results:   iqaloss compare l1 mdiqa --reference truth --out compared

Compare with human scores:    iqaloss evaluate mdiqa-mobile --data scores.csv --images photos

Tune a network of yours:      iqaloss tune 4x.pth --images photos --loss "MDIQALoss(sharpness=2)" --out tuned

Fit a scorer to your scores:  iqaloss finetune mdiqa-mobile --data scores.csv --images photos

Probe what moves a scorer:    iqaloss probe mdiqa-mobile --clean photos

Rank methods by votes:        iqaloss rank fit votes.csv

See which scorers there are:  iqaloss models

Train a restoration network:  iqaloss restore train -opt restoration_recipes/msrresnet_x4_nr.yml

See what is broken:           iqaloss doctor

Every command explains itself with --help.
"""

app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, rich_markup_mode=None)
app.add_typer(restore.app, name="restore")
app.add_typer(rank.app, name="rank")
app.command("score")(score.score)
app.command("evaluate")(evaluate.evaluate)
app.command("probe")(probe.probe)
app.command("compare")(compare.compare)
app.command("explain")(explain.explain)
app.command("models")(models.models)
app.command("scorers")(models.models)
app.command("export")(export.export)
app.command("bench")(bench.bench)
app.command("cite")(cite.cite)
app.command("doctor")(doctor.doctor)
app.command("train")(train.train)
app.command("protocol")(protocol.protocol)
app.command("search")(search.search)
app.command("finetune")(finetune.finetune)
app.command("tune")(tune.tune)


def help_of(words: list[str]) -> str | None:
    """Returns the help that a line with ``--help`` asks for, None for any other; nothing that it waits for is imported.

    Typer would check the line's values first, with pydantic, which takes longer than all else.

    Example:
        >>> help_of(["cite"]), (help_of(["cite", "--help"]) or "").split()[:3]
        (None, ['Usage:', 'iqaloss', 'cite'])
    """
    if "--help" not in words:
        return None
    command: Any = typer.main.get_command(app)
    context = command.context_class(command, info_name="iqaloss")
    for word in words:
        known = getattr(command, "commands", None)
        if word.startswith("-") or not known:
            break
        if word not in known:
            return None
        command = known[word]
        context = command.context_class(command, info_name=word, parent=context)
    return str(command.get_help(context))


def run(arguments: list[str]) -> int:
    """Runs the commands; what is wrong with what was given becomes a message, not a traceback."""
    if (told := help_of(arguments)) is not None:
        typer.echo(told)
        return 0
    for old, new in options.RENAMED.items():
        if any(word == old or word.startswith(f"{old}=") for word in arguments):
            sys.stderr.write(f"iqaloss: {old} is called {new} now\n")
            return 2
    try:
        status = app(arguments, standalone_mode=False)
    except (ValueError, TypeError, OSError, ImportError) as error:
        sys.stderr.write(f"iqaloss: {shown(str(error), lines=True)}\n")
        return 2
    except typer.Exit as stop:
        return stop.exit_code
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except Exception as error:
        if not hasattr(error, "show"):  # click's own complaints about the command line know how to show themselves
            raise
        error.show()
        return 2
    return status if isinstance(status, int) else 0
