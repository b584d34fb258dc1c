"""Everything that can stop a run, drawn as one tree.

RunbookError
├── UsageError                 the command, a parameter, the config or a credential is wrong; nothing ran
│   ├── ConfigError
│   ├── ParameterError
│   └── CredentialError
├── HeldError                  an apply run waits for an approval
├── RefusedError               a guard said no before anything was written
│   ├── ActOrderError
│   ├── StalePlanError
│   ├── BlockedPlanError
│   ├── NotApprovedError
│   ├── WrongEnvironmentError
│   ├── AnotherWriterError
│   └── AmbiguousTargetError
├── EvidenceError              a bundle is not what was sealed, or cannot be written
├── UnrecordedError            writes were sent, and what they came to cannot be written down or sealed
├── VendorError                a vendor did not do what was asked
│   ├── VendorUnavailableError   no usable answer; a read was given up after its retries
│   ├── VendorRefusedError       a clear "no" (4xx, GraphQL error): the effect did not happen
│   └── OutcomeUnknownError      a write was sent and its answer never came
├── StopRequestedError         the run was told to stop while it waited
├── StoppedError               some changes are done, some are not
├── UnknownOutcomeError        what a write did could not be found out
└── NotVerifiedError           applied, but a check failed
"""

from __future__ import annotations

from typing import Any, ClassVar


class RunbookError(Exception):
    """What happened, why, what state things are in, and what to do next; its card is drawn from these four.

    `exit_code` and `word` (the verdict) follow DESIGN 3. Every field is one line without secrets.
    """

    exit_code: ClassVar[int] = 1
    word: ClassVar[str] = "failed"

    def __init__(self, what: str, *, why: str, state: str = "nothing was changed", next_step: str) -> None:
        super().__init__(what)
        self.what = _sentence(what)
        self.why = _sentence(why)
        self.state = _sentence(state)
        self.next_step = _command_or_sentence(next_step)

    def lines(self) -> tuple[str, str, str, str]:
        """The four lines of the card."""
        return (
            f"Stopped: {self.what}",
            f"Why:     {self.why}",
            f"State:   {self.state}",
            f"Next:    {self.next_step}",
        )

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def as_json(self) -> dict[str, Any]:
        """{"error", "word", "exit_code", "what", "why", "state", "next"}: the keys are a contract."""
        return {
            "error": type(self).__name__,
            "word": self.word,
            "exit_code": self.exit_code,
            "what": self.what,
            "why": self.why,
            "state": self.state,
            "next": self.next_step,
        }

    def _render_traceback_(self) -> list[str]:
        """IPython asks for this instead of a traceback."""
        return list(self.lines())


def _sentence(text: str) -> str:
    """One line that ends with a full stop; what vendors send may hold line breaks."""
    line = " ".join(text.split())
    return line if line.endswith((".", "?", "!")) else f"{line}."


_COMMANDS = ("pantheon-runbook ", "python -m pip ")


def _command_or_sentence(text: str) -> str:
    """A command is copied as it stands: nothing is put behind it."""
    line = " ".join(text.split())
    return line if line.startswith(_COMMANDS) and ", " not in line and ": " not in line else _sentence(line)


class UsageError(RunbookError):
    exit_code = 2
    word = "no-run"


class ConfigError(UsageError):
    pass


class ParameterError(UsageError):
    pass


class CredentialError(UsageError):
    pass


class HeldError(RunbookError):
    exit_code = 3
    word = "held"


class RefusedError(RunbookError):
    exit_code = 4
    word = "refused"


class ActOrderError(RefusedError):
    pass


class StalePlanError(RefusedError):
    pass


class BlockedPlanError(RefusedError):
    pass


class NotApprovedError(RefusedError):
    pass


class WrongEnvironmentError(RefusedError):
    pass


class AnotherWriterError(RefusedError):
    pass


class AmbiguousTargetError(RefusedError):
    pass


class EvidenceError(RunbookError):
    exit_code = 4
    word = "refused"


class UnrecordedError(RunbookError):
    exit_code = 5
    word = "incomplete"


class VendorError(RunbookError):
    """`vendor` is its name; `operation` is what was asked, without ids or values."""

    exit_code = 5
    word = "incomplete"

    def __init__(self, what: str, *, vendor: str, operation: str, why: str, state: str, next_step: str) -> None:
        super().__init__(what, why=why, state=state, next_step=next_step)
        self.vendor = vendor
        self.operation = operation


class VendorUnavailableError(VendorError):
    """`again_at` tells of a rate limit from when on it may be asked again (UTC, "" for not known); else it is None."""

    def __init__(self, what: str, *, again_at: str | None = None, **fields: Any) -> None:
        super().__init__(what, **fields)
        self.again_at = again_at


def from_when(vendor: str, again_at: str) -> str:
    """From when on a vendor may be asked again, in words; where it has not said that, no time is made up."""
    return f"from {again_at} on" if again_at else f"once {vendor} lets us ask again, of which it has said no time"


class VendorRefusedError(VendorError):
    """`status` is the true one (Storage sends it inside a 400); `code` the vendor's own word, "" when it has none."""

    def __init__(self, what: str, *, status: int, code: str = "", **fields: Any) -> None:
        super().__init__(what, **fields)
        self.status = status
        self.code = code


class OutcomeUnknownError(VendorError):
    word = "unknown"


class StopRequestedError(RunbookError):
    exit_code = 5
    word = "incomplete"


class StoppedError(RunbookError):
    exit_code = 5
    word = "partial"


class UnknownOutcomeError(RunbookError):
    exit_code = 5
    word = "unknown"


class NotVerifiedError(RunbookError):
    exit_code = 6
    word = "not-verified"
