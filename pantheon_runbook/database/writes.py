"""Writes to an environment's database: allowed by the gate, journalled before and after, and told in our words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from pantheon_runbook.errors import OutcomeUnknownError, RunbookError, VendorRefusedError
from pantheon_runbook.providers.http import WriteGate
from pantheon_runbook.providers.naming import named_in
from pantheon_runbook.secrets import Vault

VENDOR = "database"


@dataclass(frozen=True)
class DatabaseGate:
    """The write gate as it stands before the database of the vault's own project."""

    gate: WriteGate
    vault: Vault

    @contextmanager
    def write(self, operation: str, *, path: str, sent: Mapping[str, Any]) -> Iterator[None]:
        """Around one transaction; `sent` is what it says, without a secret, and goes into the journal.

        Errors: RefusedError before it, VendorRefusedError (rolled back), OutcomeUnknownError (the connection was lost).
        """
        user, host = self.vault.text("supabase.pooler_user"), self.vault.text("supabase.pooler_host")
        self.gate.check(VENDOR, operation, *map(str, sent.values()), user, host)
        self.gate.require_accepted(VENDOR, operation, (self.vault.text("supabase.ref"), *named_in(user, "", {}, None)))
        assert self.gate.before is not None
        told = {"vendor": VENDOR, "operation": operation}
        event = {**told, "method": "SQL", "host": host, "path": path, "sent": dict(sent)}
        self.gate.before(event)
        result = "unknown"
        try:
            yield
            result = "committed"
        except psycopg.OperationalError as error:
            raise _lost(operation, error) from error
        except psycopg.Error as error:
            result = "rolled back"
            raise _refused(operation, error) from error
        except RunbookError as error:
            result = type(error).__name__
            raise
        finally:
            if self.gate.after is not None:
                self.gate.after({**told, "result": result})


def _lost(operation: str, error: psycopg.Error) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"the database went away: {operation}",
        vendor=VENDOR,
        operation=operation,
        why=type(error).__name__,
        state="unknown until looked up",
        next_step="run the plan again: it looks first",
    )


def _refused(operation: str, error: psycopg.Error) -> VendorRefusedError:
    return VendorRefusedError(
        f"the database refused to {operation}",
        vendor=VENDOR,
        operation=operation,
        status=400,
        code=str(error.sqlstate),
        why=str(error.diag.message_primary),
        state="nothing was changed: it is one transaction",
        next_step="look at the schema pantheon_runbook in that database, then run the plan again",
    )
