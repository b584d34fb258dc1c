"""What squawk is asked, and what becomes of its answer; the real one, except where it has to be missing or mad."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from pantheon_runbook.config import MigrationPolicy, RuleException
from pantheon_runbook.database.migrations.revisions import Lock, Ran, Statement
from pantheon_runbook.database.rehearsals import lint as lint_module
from pantheon_runbook.database.rehearsals.hazards import Hazard
from pantheon_runbook.database.rehearsals.lint import Linted, lint, squawk_path
from pantheon_runbook.database.rehearsals.recipes import LEFT_OUT, RECIPES, SQUAWK
from pantheon_runbook.database.rehearsals.verdicts import verdicts
from pantheon_runbook.database.rehearsals.weights import Weights

ON_MESSAGES = (Lock("public.messages", "AccessExclusiveLock"),)
WEIGHTS = Weights({"public.messages": 1_000_000}, 100_000)


def ran(revision: str, *statements: str, alone: tuple[int, ...] = ()) -> Ran:
    made = (Statement(sql, 0.0, ON_MESSAGES, number in alone) for number, sql in enumerate(statements))
    return Ran(revision, tuple(made), 0.0, (revision,))


def said(*rans: Ran) -> list[tuple[str, int, str]]:
    found = lint(rans, server_version="17.6")
    assert "" == found.not_linted
    return [(one.revision, one.statement, one.rule) for one in found.hazards]


def fake_squawk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    path = tmp_path / "squawk"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    monkeypatch.setattr(lint_module, "squawk_path", lambda: path)


def test_rules_of_all_revisions_are_told_by_statement():
    first = ran("0001", "SELECT 1", "ALTER TABLE messages\n  DROP COLUMN role")
    second = ran("0002", "ALTER TABLE messages RENAME role TO author")

    assert [("0001", 1, "ban-drop-column"), ("0002", 0, "renaming-column")] == said(first, second)


def test_statements_are_shown_in_their_transactions():
    """The same index is right by itself, and wrong between BEGIN and COMMIT."""
    index = "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON messages (role)"

    assert [] == said(ran("0001", "SELECT 1", index, "SELECT 2", alone=(1,)))
    assert [("0001", 1, "ban-concurrent-index-creation-in-transaction")] == said(ran("0001", "SELECT 1", index))


def test_alembics_own_statements_are_left_out():
    table = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"
    insert = "INSERT INTO alembic_version (version_num) VALUES ('0001') RETURNING alembic_version.version_num"

    assert [] == said(ran("0001", table, insert, "UPDATE alembic_version SET version_num='x' WHERE frobnicate the"))


def test_placeholders_of_drivers_are_no_syntax_errors():
    insert = "INSERT INTO messages (a, b) VALUES (%(a)s, %(b)s::VARCHAR), (%s, '100 %%')"

    assert [] == said(ran("0001", insert, "UPDATE messages SET a = $1 WHERE id = 5 -- and nothing else"))


def test_statement_that_cannot_be_read_is_never_clean():
    (found,) = lint([ran("0001", "FROBNICATE messages")], server_version="17.6").hazards[:1]

    assert ("syntax-error", 0, "advice") == (found.rule, found.statement, found.tier)
    assert found.what.startswith("not linted")


def test_author_switches_a_rule_off():
    drop = "ALTER TABLE messages DROP COLUMN role"

    assert [] == said(ran("0001", f"-- squawk-ignore ban-drop-column\n{drop}"))
    assert [("0001", 1, "ban-drop-column")] == said(ran("0001", f"-- squawk-ignore ban-drop-column\n{drop}", drop))


def test_config_that_lies_about_changes_nothing(tmp_path, monkeypatch):
    """squawk looks for .squawk.toml from its folder upwards; policy is in pantheon.toml."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / ".squawk.toml").write_text('excluded_rules = ["ban-drop-column"]\n')

    assert [("0001", 0, "ban-drop-column")] == said(ran("0001", "ALTER TABLE messages DROP COLUMN role"))


def test_nothing_to_lint_is_clean():
    assert Linted() == lint([], server_version="18.6")


def test_missing_squawk_is_not_clean(monkeypatch):
    def gone(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", gone)

    assert squawk_path() is None
    assert "squawk is not installed" in lint([ran("0001", "SELECT 1")], server_version="17.6").not_linted


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("exit 2", "exit 2"),
        ("echo nonsense", "not understood"),
        ("echo '{}'", "not understood"),
        ('echo \'[{"rule_name": "x"}]\'', "not understood"),
        ("kill -9 $$", "exit -9"),
    ],
)
def test_mad_answer_is_not_clean(tmp_path, monkeypatch, body, why):
    fake_squawk(tmp_path, monkeypatch, body)

    found = lint([ran("0001", "SELECT 1")], server_version="17.6")

    assert () == found.hazards
    assert why in found.not_linted


def test_new_rule_is_advice(tmp_path, monkeypatch):
    rule = '{"file": "0.sql", "line": 1, "rule_name": "of-tomorrow", "message": "Do `not`."}'
    fake_squawk(tmp_path, monkeypatch, f"echo '[{rule}]'; exit 1")

    (found,) = lint([ran("0001", "SELECT 1")], server_version="17.6").hazards

    assert ("of-tomorrow", "advice", 'Do "not"') == (found.rule, found.tier, found.what)
    assert found.recipe


def test_every_rule_has_a_recipe_and_one_place():
    known = {rule for recipe in RECIPES.values() for rule in recipe.squawk}

    assert known <= SQUAWK.keys()
    assert set() == SQUAWK.keys() & LEFT_OUT.keys()
    assert all(recipe.text for recipe in (*SQUAWK.values(), *RECIPES.values()))
    assert all(LEFT_OUT.values())


def of_squawk(rule: str, statement: int = 0, tables: tuple[str, ...] = ("public.messages",)) -> Hazard:
    return Hazard(rule, "0001", statement, "blocks", "what", "recipe", tables, source="squawk")


def test_same_concern_is_told_once():
    ours = Hazard("data-loss", "0001", 0, "blocks", "drops", "recipe", ("public.messages",))

    theirs = [of_squawk("ban-drop-column"), of_squawk("ban-drop-column", 1)]
    found = verdicts([ours], theirs, weights=WEIGHTS, policy=MigrationPolicy())

    assert [("data-loss", "blocks"), ("ban-drop-column", "advice")] == [(one.rule, one.tier) for one in found]


def test_new_table_is_nobodys_concern():
    policy = MigrationPolicy()

    assert () == verdicts(
        [], [of_squawk("changing-column-type", tables=("public.new",))], weights=WEIGHTS, policy=policy
    )
    assert 1 == len(verdicts([], [of_squawk("transaction-nesting", tables=())], weights=WEIGHTS, policy=policy))


def test_policy_turns_a_rule_into_advice_or_off():
    """With owner and reason, which the reader sees; and in the revisions that it names."""
    loss = Hazard("data-loss", "0001", 0, "blocks", "drops", "recipe", ("public.messages",))
    accepted = RuleException(rule="data-loss", tier="advice", owner="ops", reason="nobody reads it any more")
    off = RuleException(rule="data-loss", tier="off", revisions=("0002",), owner="ops", reason="it is copied elsewhere")

    def told(*rules: RuleException) -> list[tuple[str, str]]:
        return [
            (one.tier, one.what) for one in verdicts([loss], [], weights=WEIGHTS, policy=MigrationPolicy(rules=rules))
        ]

    assert [("blocks", "drops")] == told(off)
    assert [("advice", "drops (accepted by ops: nobody reads it any more)")] == told(off, accepted)
    assert [] == told(off.model_copy(update={"revisions": ("0001",)}), accepted)
