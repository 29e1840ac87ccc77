"""``iqaloss rank``: which method is better, by people's votes; which pictures to ask them about; who agrees."""

from __future__ import annotations

import typer

from iqaloss.cli.rank import calibrate, evaluate, fit, select, serve

HELP = """
Which restoration method is better, by people's votes on pairs of outputs.

Choose pictures worth a vote:   iqaloss rank select outputs/A outputs/B --inputs photos --out pairs.csv

Ask people, in a browser:       iqaloss rank serve outputs/A outputs/B --pairs pairs.csv

Write their votes as a table:   iqaloss rank export votes.sqlite --out votes.csv

Rank the methods by the votes:  iqaloss rank fit votes.csv

See who agrees with the votes:  iqaloss rank evaluate votes.csv --scorer mdiqa-mobile --images outputs

Let a scorer learn from them:   iqaloss rank calibrate votes.csv --images outputs --scorer mdiqa-mobile
"""

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None)
app.command("select")(select.select)
app.command("serve")(serve.serve)
app.command("export")(serve.export)
app.command("fit")(fit.fit)
app.command("evaluate")(evaluate.evaluate)
app.command("calibrate")(calibrate.calibrate)
