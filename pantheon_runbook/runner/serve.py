"""Serve one run: requests {id, act, ...} come as JSON lines over a Unix socket, cards go; end of file ends the run."""

from __future__ import annotations

import json
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pantheon_runbook.errors import EvidenceError, ParameterError, RunbookError
from pantheon_runbook.evidence.bundle import Bundle
from pantheon_runbook.evidence.seal import SealingKey
from pantheon_runbook.runner.card import Card
from pantheon_runbook.runner.cards import draw
from pantheon_runbook.secrets import Registry
from pantheon_runbook.session import Session
from pantheon_runbook.verdict import NotebookStatus, Verdict


@dataclass
class OpenRun:
    """What opening a run makes: the session, the private folder, and the key that will seal it."""

    session: Session
    bundle: Bundle
    registry: Registry
    key: SealingKey
    close: Callable[[], None]


Opener = Callable[[str, Mapping[str, Any]], OpenRun]


class Host:
    """One run and its cards. Thread-safe only in that one thread serves it and, after that, one seals it."""

    def __init__(self, opener: Opener, *, expected: Mapping[str, Any] | None = None) -> None:
        """`expected` are the parameters that the run was asked for, where that is known: a cell may open no other."""
        self._opener = opener
        self._expected = expected
        self._shown: dict[str, Card] = {}
        self._connection: socket.socket | None = None
        self.run: OpenRun | None = None
        self.usage_error: RunbookError | None = None
        self.stopped_by = ""

    def serve(self, listener: socket.socket) -> None:
        """Take one connection and answer it until its end; the act in hand is always finished."""
        with listener:
            connection, _ = listener.accept()
        self._connection = connection
        with connection, connection.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                request = _request(line)
                if request is None:
                    return
                answer = json.dumps({"id": request["id"], **self.answer(request)}).encode() + b"\n"
                try:
                    connection.sendall(answer)
                except (BrokenPipeError, ConnectionResetError):
                    return

    def stop(self, reason: str = "") -> None:
        """No further change begins; what is in hand is finished. From a signal handler too, so nothing is written."""
        self.stopped_by = self.stopped_by or reason
        if self.run is not None:
            self.run.session.stop.set()

    def hang_up(self) -> None:
        """Take no further act; what is in hand is finished and answered. From a signal handler too."""
        if self._connection is not None:
            try:
                self._connection.shutdown(socket.SHUT_RD)
            except OSError:
                return  # the other side was first

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """{"card": {text, html}} or {"error": {..., "lines": the four lines}}; a bug of ours is loud and journalled."""
        act = str(request["act"])
        try:
            if act in self._shown:
                return {"card": self._redacted(self._shown[act].again())}
            card = self._card(act, request)
            self._journal_card(act, card)
        except RunbookError as error:
            return {"error": self._noted(act, error)}
        except Exception as error:  # noqa: BLE001  the last line of defence: a traceback in a notebook helps nobody
            return {"error": self._bug(act, error)}
        self._shown[act] = card
        return {"card": self._redacted(card)}

    def finish(self, notebook: NotebookStatus, *, notebook_json: str | None = None) -> tuple[Path, Verdict] | None:
        """Seal what there is; None when nothing was opened."""
        if self.run is None:
            return None
        try:
            with suppress(EvidenceError):  # no room for it: sealing will stop too, and say so
                self.run.session.end(self.stopped_by)
            return self.run.bundle.seal(self.run.key, notebook, notebook_json=notebook_json)
        finally:
            self.run.close()

    def redact(self, text: str) -> str:
        """The text with every secret of this run masked."""
        return self._registry().redact(text)

    def _registry(self) -> Registry:
        return self.run.registry if self.run else Registry()

    def _card(self, act: str, request: Mapping[str, Any]) -> Card:
        if act == "open":
            try:
                self._refuse_another_run(dict(request["parameters"]))
                self.run = self._opener(str(request["runbook"]), dict(request["parameters"]))
            except RunbookError as error:
                self.usage_error = error
                raise
            return draw(self.run.session.opening)
        if self.run is None:
            raise _not_opened(self.usage_error)
        if act == "evidence":
            return self._evidence_card(self.run)
        return draw(self.run.session.perform(act))

    def _refuse_another_run(self, given: Mapping[str, Any]) -> None:
        expected = self._expected or {}
        other = sorted(name for name in expected if name in given and given[name] != expected[name])
        if other:
            raise ParameterError(
                f"the notebook opened a run with {other[0]} {given[other[0]]!r}",
                why=f"this run was asked for with {expected[other[0]]!r}",
                next_step="run the notebook as it is installed, and give parameters on the command line",
            )

    def _evidence_card(self, run: OpenRun) -> Card:
        place = run.bundle.place
        return Card(
            f"EVIDENCE  {place.name}",
            rows=(("", "run", place.run_id[:8], "sealed when this notebook has ended"),),
            next_step=f"pantheon-runbook evidence verify {place.evidence.name}",
        )

    def _noted(self, act: str, error: RunbookError) -> dict[str, Any]:
        with suppress(EvidenceError):  # no room for the journal: the card still goes out, and sealing will stop too
            self._journal_card(act, draw(error))
        told: dict[str, Any] = self._registry().redact_in({**error.as_json(), "lines": list(error.lines())})
        return told

    def _bug(self, act: str, error: Exception) -> dict[str, Any]:
        trace = "".join(traceback.format_exception(error))
        stopped = RunbookError(
            f"{act} met a bug of ours: {type(error).__name__}",
            why="see the traceback in journal.jsonl",
            state="unknown: the journal's last write-intent and write-result tell",
            next_step="report it with the bundle; run the plan again before anything else",
        )
        if self.run is not None:
            with suppress(EvidenceError):
                self.run.session.journal.write("act-failed", act=act, traceback=trace, **stopped.as_json())
        else:
            self.usage_error = stopped
            sys.stderr.write(self.redact(trace))  # there is no journal yet
        return self._noted(act, stopped)

    def _journal_card(self, act: str, card: Card) -> None:
        if self.run is not None:
            self.run.session.journal.write("card", act=act, text=card.text())

    def _redacted(self, card: Card) -> dict[str, str]:
        return {name: self.redact(text) for name, text in card.as_json().items()}


def _request(line: str) -> dict[str, Any] | None:
    """None for what `Run` never sends: whoever writes such a thing to the socket is not answered any more."""
    try:
        request = json.loads(line)
        return {**request, "act": str(request["act"]), "id": int(request["id"])}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _not_opened(error: RunbookError | None) -> RunbookError:
    return error or RunbookError(
        "no run is open", why="the open cell did not run", next_step="restart the kernel and run from the top"
    )
