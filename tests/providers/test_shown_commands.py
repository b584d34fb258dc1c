"""What of a command or an address may be shown: nothing that could be a secret."""

from __future__ import annotations

import pytest

from pantheon_runbook.providers.commands import address_shown, compared, in_words, may_hold_secret, migrates, shown

# By what is told of each. Every one of them was once shown, or may be written by somebody tomorrow.
COMMANDS = {
    "python -m app": "runs python",
    "/usr/local/bin/python3 -m app": "runs python3",
    "curl -u a:hunter22 https://example.com": "runs curl",
    "mysql -phunter22 < schema.sql": "runs mysql",
    "PGPASSWORD=hunter22 psql -f schema.sql": "runs psql, and migrates",
    "PGPASSWORD='hunter 22' env python -m app": "runs a program of its own",
    "env X=hunter22 uvicorn app:api": "runs uvicorn",
    "hunter22": "runs a program of its own",
    "./hunter22 --serve": "runs a program of its own",
    "alembic upgrade head && python -m app": "runs alembic, and migrates",
    "python -m app && npx prisma db push": "runs python, and migrates",
    "'hunter22' x": "runs a program of its own",
    "MIGRATE_hunter22": "runs a program of its own, and migrates",
}
MIGRATING = (
    *("alembic upgrade head", "flask db-migrate", "flyway up", "liquibase update", "sqitch deploy", "dbmate up"),
    *("goose up", "atlas schema apply", "prisma db push", "rails db:push", "drizzle-kit push", "supabase db push"),
    *("psql -f x.sql", "knex up", "npx sequelize up"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_told_and_never_shown(command: str) -> None:
    told = compared(command, lambda _: "0" * 64)

    assert COMMANDS[command] == in_words(command)
    assert "hunter" not in repr(told)
    assert told is not None
    assert "0" * 64 == told["fingerprint"]


def test_list_of_commands_is_one_command() -> None:
    assert compared(["echo one", "alembic upgrade head"], str) == compared("echo one && alembic upgrade head", str)
    assert [None, None, None] == [compared(none, str) for none in (None, "", [])]


@pytest.mark.parametrize("command", MIGRATING)
def test_migration_tool_is_known_at_every_vendor(command: str) -> None:
    assert migrates(command)
    assert migrates(command.upper())


@pytest.mark.parametrize("command", ["next build", "python -m goosebumps", "gunicorn atlases:app"])
def test_what_only_sounds_like_a_migration_is_none(command: str) -> None:
    assert "" == migrates(command)


@pytest.mark.parametrize(
    "text",
    [
        "/health?key=hunter22",
        "/health?hunter22",
        "/health;token",
        "/hooks/T0A1B2C3D4E5F6G7H8I9J0",
        "https://user@example.com",
        "https://example.com/#access=hunter22",
        "login --password hunter22",
        "CLIENT_SECRET=hunter22",
        "Authorization: Bearer hunter22",
        "sk-or-v1-" + "0" * 40,
    ],
)
def test_setting_that_may_hold_a_secret_is_compared(text: str) -> None:
    assert may_hold_secret(text)
    assert {"fingerprint": "f"} == shown(text, lambda _: "f")


@pytest.mark.parametrize(
    "text",
    [
        "/health",
        "/api/v1/ready",
        "https://pantheon-web-git-staging-pantheon.vercel.app/**",
        "https://api-staging-production-3cc7.up.railway.app/v1",
        "You have been invited; will you come?",
        "*/5 * * * *",
        "backend/**/*.py",
    ],
)
def test_plain_setting_is_shown(text: str) -> None:
    assert text == shown(text, str)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/**", "https://a.example/**"),
        ("https://u:p@a.example/x", "https://a.example/?fingerprint=f"),
        (f"sbp_{'0' * 40}", "?fingerprint=f"),
        (f"https://sbp_{'0' * 40}.example/x", "?fingerprint=f"),
        ("https://a.example?token=x", "https://a.example/?fingerprint=f"),
        ("https://a.example/x?token=https://b.example/@", "https://a.example/?fingerprint=f"),
    ],
)
def test_address_keeps_its_host(url: str, expected: str) -> None:
    """Whose host it is decides whether staging points at production."""
    assert expected == address_shown(url, lambda _: "f")
