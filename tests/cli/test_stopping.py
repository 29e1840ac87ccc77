"""Ctrl-C and SIGTERM: one line that says how to go on, in every command, wherever it is."""

from __future__ import annotations

import os
import signal
import time

import pytest

pytest.importorskip("typer")

from iqaloss.cli import app, how_to_go_on, main


def killed_by(number: int, error: type[Exception] | None = None) -> object:
    def command(*_: object, **__: object) -> int:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except KeyboardInterrupt:
            if error is not None:
                raise error("a library's own word for it") from None
            raise
        return 0

    return command


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("error", [None, ImportError, SystemError])
@pytest.mark.parametrize(
    ("words", "onward"),
    [
        (["finetune", "x"], "the same command with --resume goes on"),
        (["train", "x"], "the same command with --resume goes on"),
        (["restore", "train"], "the same command with --resume goes on"),
        (["score", "x", "--out", "y"], "the same command goes on"),
        (["evaluate", "x", "--out=y"], "the same command goes on"),
        (["score", "x"], ""),
        (["probe", "x"], ""),
    ],
)
def test_a_stop_is_one_line_that_says_how_to_go_on(
    number: int,
    error: type[Exception] | None,
    words: list[str],
    onward: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(app, "app", killed_by(number, error))
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert main(words) == 128 + number
    told = capsys.readouterr().err.splitlines()
    assert told[-1] == f"iqaloss: stopped{how_to_go_on(words)}"
    assert onward in told[-1]
    assert not any("Traceback" in line for line in told)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_an_error_that_is_no_stop_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(app, "app", broken)
    with pytest.raises(ZeroDivisionError):
        main(["scorers"])
