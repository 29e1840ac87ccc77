"""The page on which people vote, as a client sees it: what is shown, what is kept, what is refused."""

from __future__ import annotations

import csv
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="starlette is not installed (extra serve)")
pytest.importorskip("httpx", reason="httpx is not installed (extra dev)")

import httpx
import serving
from serving import comparisons_of, make_folders, served
from starlette.testclient import TestClient

from iqaloss.cli import main
from iqaloss.ranking.comparisons import Picture, chosen_comparisons, order_for
from iqaloss.ranking.reading import read_votes
from iqaloss.ranking.selection import find_outputs
from iqaloss.ranking.server import SubjectiveTest, application
from iqaloss.ranking.store import Ballot, VoteStore, to_rows

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    return make_folders(tmp_path / "outputs")


@pytest.fixture
def store(tmp_path: Path) -> VoteStore:
    return VoteStore(tmp_path / "votes.sqlite")


def client(test: SubjectiveTest, host: str = "127.0.0.1") -> TestClient:
    return TestClient(application(test, host=host), base_url=f"http://{host}", follow_redirects=False)


def vote_on_all(page: httpx.Client | TestClient, subject: str, answer: str = "left") -> list[str]:
    keys, state = [], page.get(f"/state/{subject}").json()
    while state["trial"]:
        keys.append(state["trial"]["key"])
        given = {"key": keys[-1], "answer": answer, "seconds": 1.5}
        state = page.post(f"/vote/{subject}", json=given).json()
    return keys


# --- what a subject sees ---


def test_a_subject_gets_an_address_and_goes_on_where_they_left_off(folders: dict[str, Path], store: VoteStore) -> None:
    page = client(SubjectiveTest(comparisons_of(folders), store))
    there = page.get("/")
    address = there.headers["location"]
    subject = address.removeprefix("/s/")
    assert len(subject) == 16
    assert "Which picture is better?" in page.get(address).text
    assert page.get("/").headers["location"] == address  # the cookie knows them again
    assert page.get("/new").headers["location"] != address  # the next person at this computer
    first = page.get(f"/state/{subject}").json()
    page.post(f"/vote/{subject}", json={"key": first["trial"]["key"], "answer": "left"})
    again = client(SubjectiveTest(comparisons_of(folders), store)).get(f"/state/{subject}").json()
    assert (again["done"], again["total"]) == (1, 12)
    assert again["trial"]["key"] == first["next"][0]["key"]


def test_nothing_on_the_page_tells_the_methods(folders: dict[str, Path], store: VoteStore) -> None:
    page = client(SubjectiveTest(comparisons_of(folders), store))
    state = page.get("/state/somebody")
    trial = state.json()["trial"]
    assert set(trial) == {"key", "left", "right"}
    picture = page.get(trial["left"])
    told = state.text + str(picture.headers) + trial["left"]
    assert not any(f"/{method}/" in told or "picture" in trial["key"] for method in serving.METHODS)
    assert picture.headers["content-type"] == "image/png"


def test_orders_and_sides_are_each_subjects_own_and_follow_from_the_seed(folders: dict[str, Path]) -> None:
    shown = comparisons_of(folders, catch=2)
    one, other = order_for("one-subject", shown), order_for("other-subject", shown)
    assert one == order_for("one-subject", shown)
    assert one != other
    assert one != order_for("one-subject", shown, seed=1)
    assert Counter(each.key for each, _ in one) == Counter(each.key for each, _ in other)
    swapped = [side for k in range(200) for _, side in order_for(f"subject{k}", shown)]
    assert 0.45 < sum(swapped) / len(swapped) < 0.55
    without = [each for each in shown if each.image != "picture0"]
    kept = [(each, side) for each, side in one if each.image != "picture0"]
    assert order_for("one-subject", without) == kept  # another list moves none of the others


def test_a_limit_leaves_all_catch_trials_and_other_pairs_to_others(folders: dict[str, Path]) -> None:
    shown = comparisons_of(folders, catch=2)
    orders = [order_for(f"subject{k}", shown, limit=3) for k in range(40)]
    assert all(len(order) == 5 and sum(one.catch for one, _ in order) == 2 for order in orders)
    assert {one.key for order in orders for one, _ in order} == {one.key for one in shown}


def test_a_catch_trial_shows_a_picture_beside_its_spoilt_version(folders: dict[str, Path], store: VoteStore) -> None:
    test = SubjectiveTest(comparisons_of(folders, catch=3), store)
    (one, *_) = [each for each, _ in order_for("somebody", test.comparisons) if each.catch]
    swapped = test.find("somebody", one.key)[1]
    page = client(test)
    shown = {side: page.get(f"/pictures/somebody/{one.key}/{side}").content for side in ("left", "right")}
    whole = "right" if swapped else "left"
    assert shown[whole] == one.pictures[0].path.read_bytes()
    assert shown["left"] != shown["right"]


# --- what is kept ---


@pytest.mark.parametrize("answer", ["left", "right", "tie"])
def test_votes_become_the_table_that_fit_reads(
    answer: str, folders: dict[str, Path], store: VoteStore, tmp_path: Path
) -> None:
    test = SubjectiveTest(comparisons_of(folders, catch=2), store, ties=True)
    page = client(test)
    keys = vote_on_all(page, "somebody", answer)
    assert sorted(keys) == sorted(one.key for one in test.comparisons)
    assert page.get("/state/somebody").json()["trial"] is None
    assert main(["rank", "export", str(store.path), "--out", str(tmp_path / "votes.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "votes.csv").open()))
    votes = read_votes(tmp_path / "votes.csv")
    assert len(votes) == 12  # catch trials are no votes on methods
    assert set(votes.subjects or ()) == {"somebody"}
    assert set(votes.images or ()) == {f"picture{k}" for k in range(4)}
    assert all(float(row["seconds"]) == 1.5 and row["catch_shown"] == "2" for row in rows)
    if answer == "tie":
        assert votes.cast.sum(0).tolist() == [0, 0, 12]
        assert rows[0]["catch_passed"] == "0"
    else:
        assert all((row["left"] == row["winner"]) == (answer == "left") for row in rows)


def test_undo_takes_the_latest_vote_back_and_asks_again(folders: dict[str, Path], store: VoteStore) -> None:
    page = client(SubjectiveTest(comparisons_of(folders), store))
    first = page.get("/state/somebody").json()
    assert not first["undo"]
    page.post("/vote/somebody", json={"key": first["trial"]["key"], "answer": "left"})
    back = page.post("/undo/somebody", json={}).json()
    assert back == first
    assert not list(store)


def test_a_vote_that_is_sent_again_counts_once(folders: dict[str, Path], store: VoteStore) -> None:
    page = client(SubjectiveTest(comparisons_of(folders), store))
    key = page.get("/state/somebody").json()["trial"]["key"]
    for answer in ("left", "left", "right"):
        assert page.post("/vote/somebody", json={"key": key, "answer": answer}).json()["done"] == 1
    (ballot,) = store
    assert (ballot.answer == ballot.left) is False  # the last answer


def test_people_who_see_through_too_few_catch_trials_can_be_left_out(store: VoteStore) -> None:
    for subject, answers in (("careful", ("first", "first")), ("careless", ("first", "second"))):
        store.add(Ballot(subject, "x", "A", "B", "first"))
        for image, answer in zip("xy", answers):
            store.add(Ballot(subject, image, "A", "A", answer))
    assert {row["subject"] for row in to_rows(store)} == {"careful", "careless"}
    assert {row["subject"] for row in to_rows(store, caught=0.75)} == {"careful"}
    assert [row["catch_passed"] for row in to_rows(store)] == [2, 1]


def test_the_store_waits_for_the_disk(store: VoteStore) -> None:
    assert store._base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._base.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


# --- what is refused ---


def test_what_is_no_vote_is_refused(folders: dict[str, Path], store: VoteStore) -> None:
    page = client(SubjectiveTest(comparisons_of(folders), store))
    key = page.get("/state/somebody").json()["trial"]["key"]
    vote = {"key": key, "answer": "left"}
    assert page.post("/vote/somebody", json={**vote, "answer": "tie"}).status_code == 400  # ties were not asked for
    assert page.post("/vote/somebody", json={**vote, "key": "0" * 16}).status_code == 400
    assert page.post("/vote/somebody", json=[1]).status_code == 400
    assert page.post("/vote/a", json=vote).status_code == 404
    assert page.post("/vote/some%2F..body", json=vote).status_code == 404
    assert page.post("/vote/somebody", json={**vote, "more": "x" * 5000}).status_code == 413
    assert page.post("/vote/somebody", content=b"{}", headers={"content-type": "application/json"}).status_code == 400
    assert not list(store)


def test_another_sites_page_reaches_nothing(folders: dict[str, Path], store: VoteStore) -> None:
    page = client(SubjectiveTest(comparisons_of(folders), store))
    assert page.get("/state/somebody", headers={"host": "elsewhere.example"}).status_code == 400
    plain = {"content-type": "text/plain"}  # what a page may send to another site without asking
    assert page.post("/vote/somebody", content=b"{}", headers=plain).status_code == 415
    assert page.post("/undo/somebody", content=b"{}", headers=plain).status_code == 415
    assert "default-src 'none'" in page.get("/page.js").headers["content-security-policy"]


@pytest.mark.parametrize("asked", ["../../votes.sqlite", "%2e%2e%2f%2e%2e%2fvotes.sqlite", "0" * 16, "picture0.png"])
def test_pictures_are_known_by_their_key_alone(asked: str, folders: dict[str, Path], store: VoteStore) -> None:
    page = client(SubjectiveTest(comparisons_of(folders), store))
    for path in (f"/pictures/somebody/{asked}/left", f"/{asked}"):
        assert page.get(path).status_code == 404


def test_a_link_out_of_the_folders_is_refused(folders: dict[str, Path], tmp_path: Path, store: VoteStore) -> None:
    secret = tmp_path / "secret.png"
    inside = folders["A"] / "picture0.png"
    secret.write_bytes(inside.read_bytes())
    test = SubjectiveTest(comparisons_of(folders), store)
    inside.unlink()
    inside.symlink_to(secret)  # after the start
    page = client(test)
    keys = {one.key: swapped for one, swapped in order_for("somebody", test.comparisons) if one.image == "picture0"}
    found = [page.get(f"/pictures/somebody/{key}/{side}").status_code for key in keys for side in ("left", "right")]
    assert sorted(found) == [200] * 4 + [404] * 2
    with pytest.raises(PermissionError, match="leads out of the folder"):
        Picture(folders["A"], inside).checked()
    assert main(["rank", "serve", *map(str, folders.values()), "--votes", str(tmp_path / "v.sqlite")]) == 2


def test_a_table_of_pairs_names_what_there_is(folders: dict[str, Path], tmp_path: Path) -> None:
    outputs, path = find_outputs(folders), tmp_path / "pairs.csv"
    path.write_text("image,first,second,order\npicture1,A,B,1\npicture2,C,B,1\npicture1,A,B,2\n")
    shown = chosen_comparisons(path, outputs, folders)
    assert [(one.image, one.first, one.second) for one in shown] == [("picture1", "A", "B"), ("picture2", "C", "B")]
    assert [picture.path.parent.name for picture in shown[1].pictures] == ["C", "B"]
    for row, told in (
        ("pictur1,A,B", "did you mean 'picture1'"),
        ("picture1,A,D", "unknown method 'D'"),
        ("picture1,A,A", "with itself"),
        ("../../etc/passwd,A,B", "unknown picture"),
    ):
        path.write_text(f"image,first,second\n{row}\n")
        with pytest.raises(ValueError, match=told):
            chosen_comparisons(path, outputs, folders)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--catch", "13"], "catch must be from 0 to the number of pictures"),
        (["--limit", "0"], "limit must be at least 1"),
        (["--pairs", "nowhere.csv"], "no such table"),
        (["--votes", "OTHER"], "is no file of votes"),
    ],
)
def test_a_mistake_is_told_before_anything_is_served(
    words: list[str], told: str, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.sqlite"
    other.write_text("something else altogether, and long enough for a header" * 20)
    words = [str(other) if word == "OTHER" else word for word in words]
    words = words if "--votes" in words else [*words, "--votes", str(tmp_path / "votes.sqlite")]
    assert main(["rank", "serve", *map(str, folders.values()), *words]) == 2
    assert told in capsys.readouterr().err


def test_an_address_that_others_reach_is_warned_of(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from iqaloss.ranking import server

    listened: list[str] = []
    monkeypatch.setattr(server, "serve", lambda test, host, port: listened.append(host))
    words = ["rank", "serve", *map(str, folders.values()), "--votes", str(tmp_path / "votes.sqlite")]
    assert main(words) == 0
    assert "warning" not in capsys.readouterr().err
    assert main([*words, "--host", "0.0.0.0"]) == 0
    assert "warning: anyone who reaches 0.0.0.0:8000" in capsys.readouterr().err
    assert listened == ["127.0.0.1", "0.0.0.0"]


# --- processes that are killed, many people at once ---


def keep_voting(address: str, subject: str, acknowledged: set[tuple[str, str]], stop: threading.Event) -> None:
    """Votes until told to stop; a request without an answer is sent again."""
    with httpx.Client(base_url=address, timeout=5) as page:
        while not stop.is_set():
            try:
                trial = page.get(f"/state/{subject}").json()["trial"]
                if trial is None:
                    return
                answer = page.post(f"/vote/{subject}", json={"key": trial["key"], "answer": "left"})
                if answer.status_code == 200:
                    acknowledged.add((subject, trial["key"]))
            except (httpx.HTTPError, ValueError):
                time.sleep(0.01)


def stored(votes: Path, shown: list) -> set[tuple[str, str]]:
    keys = {(one.image, one.first, one.second): one.key for one in shown}
    with VoteStore(votes) as store:
        found = [(ballot.subject, keys[ballot.image, ballot.first, ballot.second]) for ballot in store]
    assert len(found) == len(set(found))
    return set(found)


@needs_fork
def test_twenty_kills_lose_no_acknowledged_vote(tmp_path: Path) -> None:
    shown = comparisons_of(make_folders(tmp_path / "outputs", pictures=200, size=(8, 8)))
    votes, acknowledged, stop, generator = tmp_path / "votes.sqlite", set(), threading.Event(), random.Random(0)
    with served(shown, votes) as server:
        people = [
            threading.Thread(target=keep_voting, args=(server.address, f"subject{k}", acknowledged, stop))
            for k in range(3)
        ]
        for person in people:
            person.start()
        try:
            for kills in range(20):
                time.sleep(generator.uniform(0.02, 0.3))
                before = len(acknowledged)
                assert server.kill() == -signal.SIGKILL
                known = set(acknowledged)
                assert known <= stored(votes, shown), f"kill {kills} lost votes"
                server.start()
                deadline = time.monotonic() + 60
                while len(acknowledged) <= before and time.monotonic() < deadline:
                    time.sleep(0.01)  # each life of the server takes votes
        finally:
            stop.set()
            for person in people:
                person.join()
    assert len(acknowledged) >= 20
    assert acknowledged <= stored(votes, shown)


@needs_fork
def test_eight_people_at_once_lose_no_vote(tmp_path: Path) -> None:
    shown = comparisons_of(make_folders(tmp_path / "outputs", pictures=8, size=(8, 8)))
    acknowledged: set[tuple[str, str]] = set()
    with served(shown, tmp_path / "votes.sqlite") as server:
        people = [
            threading.Thread(target=keep_voting, args=(server.address, f"subject{k}", acknowledged, threading.Event()))
            for k in range(8)
        ]
        for person in people:
            person.start()
        for person in people:
            person.join()
    everything = {(f"subject{k}", one.key) for k in range(8) for one in shown}
    assert acknowledged == everything
    assert stored(tmp_path / "votes.sqlite", shown) == everything


def test_the_command_serves_and_stops_when_asked(folders: dict[str, Path], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["rank", "serve", *map(str, folders.values()), "--votes", str(tmp_path / "votes.sqlite"), "--catch", "1"]
    command = [sys.executable, "-m", "iqaloss.cli", *words, "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert f"13 pairs of 3 methods, page: http://127.0.0.1:{port}/" in process.stderr.readline()
    address, state = f"http://127.0.0.1:{port}", None
    for _ in range(600):
        try:
            state = httpx.get(f"{address}/state/somebody").json()
            break
        except httpx.HTTPError:
            time.sleep(0.05)
    assert state is not None
    assert state["total"] == 13
    httpx.post(f"{address}/vote/somebody", json={"key": state["trial"]["key"], "answer": "left"})
    process.send_signal(signal.SIGINT)
    assert process.wait(60) in (0, 130)
    assert "iqaloss rank export" in process.stderr.read()
    with VoteStore(tmp_path / "votes.sqlite") as store:
        assert len(list(store)) == 1
