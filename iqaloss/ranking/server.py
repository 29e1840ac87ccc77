"""The page on which people vote: a small local server for the two-alternative forced choice."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from iqaloss._errors import missing_package
from iqaloss.ranking.comparisons import Comparison, order_for
from iqaloss.ranking.store import Ballot, VoteStore

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import JSONResponse, RedirectResponse, Response
    from starlette.routing import Route
except ImportError as error:
    raise missing_package("starlette", "serve", "the page on which people vote") from error

PAGE = Path(__file__).parent / "page"
TYPES = {"page.css": "text/css", "page.js": "text/javascript", "page.svg": "image/svg+xml", "page.html": "text/html"}
SUBJECT = re.compile(r"[A-Za-z0-9_-]{4,64}")
LOOPBACK = ("127.0.0.1", "localhost")
SIDES = ("left", "right")
LONGEST = 4096  # bytes of a vote
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class SubjectiveTest:
    """A subjective test.

    Attributes:
        comparisons: What is shown, catch trials among it.
        store: Where votes go.
        ties: Whether people may say that they see no difference.
        limit: Most comparisons for each subject, beside the catch trials; None for all.
        seed: Seed of the orders and sides.
    """

    comparisons: Sequence[Comparison]
    store: VoteStore
    ties: bool = False
    limit: int | None = None
    seed: int = 0

    @cached_property
    def order(self) -> Any:
        """A subject's comparisons and sides by their keys, in the subject's order."""

        @lru_cache(maxsize=256)
        def found(subject: str) -> dict[str, tuple[Comparison, bool]]:
            order = order_for(subject, self.comparisons, limit=self.limit, seed=self.seed)
            return {one.key: (one, swapped) for one, swapped in order}

        return found

    def state(self, subject: str) -> dict[str, Any]:
        """Returns what the page shows a subject: how far they are, the pair to vote on, and the pictures after it."""
        order, done = self.order(subject), self.store.done(subject)
        left = [key for key, (one, _) in order.items() if (one.image, one.first, one.second) not in done]
        trials = [{"key": key, **{side: f"/pictures/{subject}/{key}/{side}" for side in SIDES}} for key in left[:2]]
        told = {"done": len(order) - len(left), "total": len(order), "undo": bool(done), "ties": self.ties}
        return {**told, "trial": next(iter(trials), None), "next": trials[1:]}

    def find(self, subject: str, key: str) -> tuple[Comparison, bool]:
        """Returns a comparison of a subject and whether it is swapped; a KeyError where there is none."""
        found: tuple[Comparison, bool] = self.order(subject)[key]
        return found

    def vote(self, subject: str, given: Any) -> None:
        """Writes a vote; a ValueError says what is wrong with it, and it is safe when this returns."""
        answers = (*SIDES, "tie") if self.ties else SIDES
        if not isinstance(given, dict) or given.get("answer") not in answers:
            raise ValueError(f"needs a key and an answer out of {', '.join(answers)}")
        if given.get("key") not in self.order(subject):
            raise ValueError("this pair is not among yours")
        one, swapped = self.find(subject, given["key"])
        seconds = given.get("seconds")
        seconds = float(seconds) if isinstance(seconds, (int, float)) and 0 <= seconds < 1e6 else None
        sides = ("second", "first") if swapped else ("first", "second")
        answer = "tie" if given["answer"] == "tie" else sides[SIDES.index(given["answer"])]
        self.store.add(Ballot(subject, one.image, one.first, one.second, answer, sides[0], seconds))


def application(test: SubjectiveTest, *, host: str = "127.0.0.1") -> Starlette:
    """Builds the application; on a loopback address it answers to no other name, so that no other page can reach it.

    Example:
        >>> import tempfile
        >>> with VoteStore(Path(tempfile.mkdtemp()) / "votes.sqlite") as store:
        ...     [route.path for route in application(SubjectiveTest([], store)).routes][:2]
        ['/', '/new']
    """

    def subject_of(request: Request) -> str:
        subject = str(request.path_params["subject"])
        if not SUBJECT.fullmatch(subject):
            raise HTTPException(404, "no such page")
        return subject

    def start(request: Request) -> Response:
        known = "" if request.url.path == "/new" else request.cookies.get("subject", "")
        subject = known if SUBJECT.fullmatch(known) else secrets.token_hex(8)
        return RedirectResponse(f"/s/{subject}", 303, HEADERS)

    def page(request: Request) -> Response:
        subject = subject_of(request)
        answer = static("page.html")
        answer.set_cookie("subject", subject, max_age=30 * 86400, httponly=True, samesite="strict")
        return answer

    def static(name: str) -> Response:
        return Response((PAGE / name).read_bytes(), media_type=TYPES[name], headers=HEADERS)

    def asset(request: Request) -> Response:
        return static(request.url.path.lstrip("/"))

    def state(request: Request) -> Response:
        return JSONResponse(test.state(subject_of(request)), headers=HEADERS)

    def picture(request: Request) -> Response:
        subject, side = subject_of(request), request.path_params["side"]
        try:
            one, swapped = test.find(subject, request.path_params["key"])
            content, kind = one.read(SIDES.index(side) ^ swapped)
        except (KeyError, ValueError, OSError):  # a link out of the folders is a PermissionError
            raise HTTPException(404, "no such picture") from None
        return Response(content, media_type=kind, headers={**HEADERS, "Cache-Control": "private, max-age=600"})

    async def vote(request: Request) -> Response:
        subject = subject_of(request)
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            raise HTTPException(415, "a vote is sent as application/json")  # which no other site's page may send
        if int(request.headers.get("content-length", LONGEST + 1)) > LONGEST:
            raise HTTPException(413, "this is no vote")
        try:
            given = json.loads(await request.body())
            await run_in_threadpool(test.vote, subject, given)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return JSONResponse(await run_in_threadpool(test.state, subject), headers=HEADERS)

    def undo(request: Request) -> Response:
        subject = subject_of(request)
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            raise HTTPException(415, "this is sent as application/json")
        test.store.undo(subject)
        return JSONResponse(test.state(subject), headers=HEADERS)

    async def told(request: Request, error: Exception) -> Response:
        status, detail = getattr(error, "status_code", 500), getattr(error, "detail", "")
        return JSONResponse({"error": detail}, status, HEADERS)

    routes = [
        Route("/", start),
        Route("/new", start),
        Route("/s/{subject}", page),
        *(Route(f"/{name}", asset) for name in TYPES if name != "page.html"),
        Route("/state/{subject}", state),
        Route("/vote/{subject}", vote, methods=["POST"]),
        Route("/undo/{subject}", undo, methods=["POST"]),
        Route("/pictures/{subject}/{key}/{side}", picture),
    ]
    hosts = list(LOOPBACK) if host in LOOPBACK else ["*"]
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    return Starlette(routes=routes, middleware=[guard], exception_handlers={HTTPException: told})


def serve(test: SubjectiveTest, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serves a test until the process is stopped.

    Example:
        >>> serve(SubjectiveTest(comparisons, VoteStore("votes.sqlite")))  # doctest: +SKIP
    """
    uvicorn.run(application(test, host=host), host=host, port=port, log_level="warning", access_log=False)
