"""``iqaloss rank serve``: the page on which people vote; ``iqaloss rank export``: their votes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iqaloss.cli.rank.tables import by_method, write

Base = Annotated[Path, typer.Option(help="File of votes, made where it is missing; a test goes on where it was.")]


def serve(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Outputs of the same pictures, a folder for each method.")
    ],
    pairs: Annotated[
        Path | None, typer.Option(help="Pairs to show, as `rank select` writes them; all by default.")
    ] = None,
    votes: Base = Path("votes.sqlite"),
    ties: Annotated[bool, typer.Option("--ties", help="People may say that they see no difference.")] = False,
    catch: Annotated[int, typer.Option(help="Catch trials: a picture beside a clearly worse version of it.")] = 0,
    limit: Annotated[int | None, typer.Option(help="Most pairs for each person, drawn anew for each.")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; by default this machine alone can ask.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.")] = 8000,
    seed: Annotated[int, typer.Option(help="Seed of orders, sides and catch trials.")] = 0,
) -> None:
    """Ask people which of two pictures is better, on a page in the browser.

    Everyone who opens the page gets an address of their own, by which they go on where they left off; no names are
    asked. Pairs come in an order and on sides of each person's own. A vote is on the disk before the page goes on.

    Example: iqaloss rank serve outputs/BSRGAN outputs/SeeSR --pairs pairs.csv --catch 4

    Then: iqaloss rank export votes.sqlite --out votes.csv
    """
    from iqaloss.ranking import comparisons, selection, server
    from iqaloss.ranking.store import VoteStore

    named = by_method(folders)
    outputs = selection.find_outputs(named)
    shown = (
        comparisons.all_comparisons(outputs, named)
        if pairs is None
        else comparisons.chosen_comparisons(pairs, outputs, named)
    )
    for picture in {picture for one in shown for picture in one.pictures}:
        picture.checked()
    shown += comparisons.catch_trials(shown, catch, seed)
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    if host not in (*server.LOOPBACK, "::1"):
        typer.echo(f"warning: anyone who reaches {host}:{port} can vote and see the pictures", err=True)
    with VoteStore(votes) as store:
        typer.echo(f"{len(shown)} pairs of {len(named)} methods, page: http://{host}:{port}/ (Ctrl-C ends)", err=True)
        server.serve(server.SubjectiveTest(shown, store, ties, limit, seed), host, port)
    typer.echo(f"votes are in {votes}: iqaloss rank export {votes} --out votes.csv", err=True)


def export(
    votes: Annotated[Path, typer.Argument(metavar="FILE", help="File of votes that `rank serve` wrote.")],
    out: Annotated[Path, typer.Option(help="Table of votes, for `rank fit` and `rank evaluate`.")] = Path("votes.csv"),
    caught: Annotated[
        float, typer.Option(help="Leave out people who saw through a smaller share of their catch trials.")
    ] = 0.0,
) -> None:
    """Write the votes of a test as a table; a test that is running is not disturbed.

    Columns: winner, loser, image, subject, tie, left, seconds, time, catch_shown, catch_passed.

    Example: iqaloss rank export votes.sqlite --out votes.csv --caught 0.75
    """
    from iqaloss.ranking.store import VoteStore, to_rows

    if not votes.is_file():
        raise FileNotFoundError(f"no such file of votes: {votes}")
    with VoteStore(votes) as store:
        rows, everyone = to_rows(store, caught), {ballot.subject for ballot in store}
    if not rows:
        raise ValueError(
            f"{votes} holds no votes" + (f" of people who caught {caught:g} of their trials" * (caught > 0))
        )
    write(out, rows)
    kept = {row["subject"] for row in rows}
    typer.echo(f"{len(rows)} votes of {len(kept)} of {len(everyone)} people are in {out}")
