"""What to write instead of what a migration should not do; and which of squawk's words are left out, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Recipe:
    """`squawk` are its rules for the same concern: who switches one of them off for a statement has seen ours too."""

    text: str
    squawk: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SquawkRule:
    """How grave it is on a big table, and what to write instead."""

    tier: Literal["blocks", "advice"]
    text: str


_LOSSES = ("ban-drop-column", "ban-drop-table", "changing-column-type", "ban-truncate-cascade")
_SCANS = (
    *("constraint-missing-not-valid", "adding-foreign-key-constraint", "adding-not-nullable-field"),
    *("disallowed-unique-constraint", "adding-serial-primary-key-field"),
)

RECIPES: Mapping[str, Recipe] = {
    "rewrite-under-lock": Recipe(
        "add a column of the new type beside the old one, fill it in batches, and drop the old one in a later revision",
        frozenset({"changing-column-type", "adding-field-with-default", "adding-serial-primary-key-field"}),
    ),
    "scan-under-lock": Recipe(
        "add the constraint NOT VALID, and VALIDATE CONSTRAINT in a revision of its own: that one lets others read and"
        " write; for NOT NULL validate a CHECK (column IS NOT NULL) first, then SET NOT NULL reads nothing",
        frozenset(_SCANS),
    ),
    "index-under-lock": Recipe(
        "build the index with postgresql_concurrently=True inside op.get_context().autocommit_block(), in a revision of"
        " its own; a constraint then takes it over with ADD CONSTRAINT ... USING INDEX",
        frozenset(
            {
                *("require-concurrent-index-creation", "require-concurrent-reindex"),
                *("disallowed-unique-constraint", "constraint-missing-not-valid"),
            }
        ),
    ),
    "data-under-lock": Recipe(
        "move the UPDATE into a revision of its own, after the one that changes the table, and let it work in batches"
    ),
    "data-migration": Recipe(
        "work in batches of some thousand rows, each in its own transaction (op.get_context().autocommit_block())"
    ),
    "data-loss": Recipe(
        'if the data is to go, say so in the revision: phase = "contract"; it then waits until the new backend runs',
        frozenset(_LOSSES),
    ),
    "rename": Recipe(
        "add the new name beside the old one, keep both equal by a trigger or a view, and drop the old one in a later"
        ' revision; if nobody uses it any more, say phase = "contract" in the revision',
        frozenset({"renaming-column", "renaming-table", "renaming-object"}),
    ),
    "cascade": Recipe("name in the revision what is dropped, each by itself, and leave CASCADE out"),
    "row-security": Recipe(
        "look that the backend's role has a policy or BYPASSRLS: without either it sees no row from then on"
    ),
    "required-column": Recipe(
        "give the column a constant default, or add it nullable, fill it, and demand it in a later revision",
        frozenset({"adding-required-field"}),
    ),
    "may-fail": Recipe(
        "count the rows that do not meet it on production, by a SELECT; the running backend must meet it as well"
    ),
    "not-seen": Recipe(
        "read it, or try it on a database with rows like production's; a loop over rows belongs into batches of its own"
    ),
    "timeout-off": Recipe("leave both limits as the run sets them"),
    "several-locks": Recipe("give each table a revision of its own: a lock ends with its transaction"),
}

SQUAWK: Mapping[str, SquawkRule] = {
    "adding-field-with-default": SquawkRule("blocks", "add the column without it, then set a default for new rows"),
    "adding-foreign-key-constraint": SquawkRule("blocks", RECIPES["scan-under-lock"].text),
    "adding-not-nullable-field": SquawkRule("blocks", RECIPES["scan-under-lock"].text),
    "adding-required-field": SquawkRule("blocks", RECIPES["required-column"].text),
    "adding-serial-primary-key-field": SquawkRule("blocks", RECIPES["rewrite-under-lock"].text),
    "ban-alter-domain-with-add-constraint": SquawkRule(
        "blocks", "add the constraint NOT VALID: without it every table that uses the domain is read under a lock"
    ),
    "ban-char-field": SquawkRule("advice", "text or varchar: char(n) fills up with blanks"),
    "ban-concurrent-index-creation-in-transaction": SquawkRule("blocks", RECIPES["index-under-lock"].text),
    "ban-create-domain-with-constraint": SquawkRule(
        "advice", "a CHECK of the table is easier to change than one of a domain"
    ),
    "ban-drop-column": SquawkRule("blocks", RECIPES["data-loss"].text),
    "ban-drop-constraint": SquawkRule("advice", "let the backend refuse by itself what the constraint refused for it"),
    "ban-drop-database": SquawkRule("blocks", "no revision drops a database"),
    "ban-drop-not-null": SquawkRule("advice", "let the running backend expect NULL before the column may hold it"),
    "ban-drop-table": SquawkRule("blocks", RECIPES["data-loss"].text),
    "ban-truncate-cascade": SquawkRule("blocks", "name every table that is to be emptied, and leave CASCADE out"),
    "changing-column-type": SquawkRule("blocks", RECIPES["rewrite-under-lock"].text),
    "constraint-missing-not-valid": SquawkRule("blocks", RECIPES["scan-under-lock"].text),
    "disallowed-unique-constraint": SquawkRule("blocks", RECIPES["index-under-lock"].text),
    "identifier-too-long": SquawkRule("advice", "63 bytes at most: PostgreSQL cuts the rest off without a word"),
    "prefer-repack": SquawkRule("advice", "VACUUM FULL and CLUSTER keep everybody out until they are done"),
    "prefer-robust-stmts": SquawkRule(
        "advice",
        "outside a transaction say if_not_exists=True or if_exists=True: a run that was cut off can then be repeated",
    ),
    "prefer-timestamp-tz": SquawkRule("advice", "sa.DateTime(timezone=True): without it nobody knows what hour it was"),
    "renaming-column": SquawkRule("blocks", RECIPES["rename"].text),
    "renaming-object": SquawkRule("advice", RECIPES["rename"].text),
    "renaming-table": SquawkRule("blocks", RECIPES["rename"].text),
    "require-concurrent-index-creation": SquawkRule("blocks", RECIPES["index-under-lock"].text),
    "require-concurrent-index-deletion": SquawkRule(
        "advice", "drop it with postgresql_concurrently=True inside op.get_context().autocommit_block()"
    ),
    "require-concurrent-partition-detach": SquawkRule("blocks", "DETACH PARTITION ... CONCURRENTLY, alone"),
    "require-concurrent-reindex": SquawkRule("blocks", "REINDEX ... CONCURRENTLY, outside a transaction"),
    "require-enum-value-ordering": SquawkRule("advice", "ADD VALUE ... BEFORE or AFTER, if anything compares by order"),
    "syntax-error": SquawkRule("advice", "PostgreSQL took it, squawk cannot read it: read this statement yourself"),
    "transaction-nesting": SquawkRule("blocks", "leave BEGIN and COMMIT to the run: each revision has its transaction"),
}
UNKNOWN = SquawkRule("advice", "see what squawk's documentation says of this rule")

# These say how a column might have been declared, or what is seen to elsewhere.
LEFT_OUT: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("ban-drop-view", "ban-drop-function", "ban-drop-type", "ban-drop-domain", "ban-drop-sequence"),
            *("ban-drop-policy", "ban-drop-default"),
        ),
        "what is dropped makes the revision a contract one, and that waits for the new backend",
    ),
    "prefer-bigint-over-int": "sa.Integer is what the application declares; no hazard of a migration",
    "prefer-bigint-over-smallint": "likewise",
    "prefer-identity": "sa.BigInteger primary keys become BIGSERIAL in SQLAlchemy; both work",
    "prefer-text-field": "sa.String(n) is what the application declares; alembic's own table has one",
    "require-lock-timeout": "the worker sets lock_timeout before every revision",
    "require-statement-timeout": "the worker sets statement_timeout before every revision",
    "require-timeout-settings": "the name of both in older releases",
    "unused-ignore": "what does not fire here may do so in the author's own run",
}
