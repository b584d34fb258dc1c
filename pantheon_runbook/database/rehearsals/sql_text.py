"""The little that is read out of SQL itself: which rows a statement writes, and what its author wrote in comments."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Verb = Literal["update", "delete", "insert", "merge"]

_NAME = r'(?:"(?:[^"]|"")+"|[a-z_][\w$]*)'
_TABLE = rf"({_NAME}(?:\s*\.\s*{_NAME})?)"
_PARTS = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?\*/)
    |(?P<literal>\be'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*')
    |\$(?P<tag>\w*)\$(?P<body>.*?)\$(?P=tag)\$
    |(?P<name>"(?:[^"]|"")*")""",
    re.DOTALL | re.VERBOSE | re.IGNORECASE,
)
# In DO blocks too, where "for update", "on update", "do update" and "before update" are no statements.
_WRITES = re.compile(
    rf"(?<!for )(?<!on )(?<!do )(?<!or )(?<!of )(?<!before )(?<!after )(?<!key )(?<!then )(?<![\w.\"])"
    rf"(?P<verb>update|delete\s+from|insert\s+into|merge\s+into)\s+(?:only\s+)?{_TABLE}"
)
_SOURCES = re.compile(rf"\b(?:from|join|using)\s+(?:only\s+)?{_TABLE}")
# One row or a batch: by the key that is called id, which is given, or as many as a LIMIT lets through.
_BOUNDS = re.compile(
    r"\blimit\s+(?!all\b)|\bfetch\s+(?:first|next)\b"
    r"|\bwhere\s+(?:[\w\".]+\.)?\"?id\"?\s*(?:=\s*(?:%|\$|:|-?\d|'')|in\s*\((?!\s*select))"
)
_FOR_EVER = re.compile(
    r"\bset\s+(?:local\s+|session\s+)?(lock_timeout|statement_timeout)\s*(?:=|\bto\b)\s*'?(?:0(?![\d.])|default)"
)
_PASSWORD = re.compile(r"(\bpassword\s+)(?:e?'(?:[^'\\]|''|\\.)*'|\$(\w*)\$.*?\$\2\$)", re.IGNORECASE | re.DOTALL)
_REPEATABLE = re.compile(
    r"create (?:unique )?index concurrently if not exists\b|drop index concurrently if exists\b|reindex\b"
    r"|vacuum\b|analyze\b|alter type \S+ add value if not exists\b|refresh materialized view\b"
    r"|alter table (?:only )?\S+ validate constraint [^ ,]+$"
)
_WRITERS = ("update", "delete", "insert", "merge", "with", "do")
_IGNORE = re.compile(r"(?:--|/\*)\s*squawk-ignore(?:-file)?\s+([a-z, \t-]+)")


@dataclass(frozen=True, slots=True)
class Write:
    """Rows that a statement writes. `sources` are what it reads them from; `is_bounded`: one row, or a batch."""

    verb: Verb
    table: str
    sources: tuple[str, ...]
    is_bounded: bool
    is_of_all: bool


def bare(sql: str) -> str:
    """Lower case and on one line, without comments, literals and bodies of functions; the body of a DO stays."""
    is_block = re.match(r"do\b", _PARTS.sub(_without_comment, sql).lstrip(), re.IGNORECASE) is not None
    pieces: list[str] = []
    end = 0
    for part in _PARTS.finditer(sql):
        pieces += (sql[end : part.start()].lower(), _shortened(part, is_block=is_block))
        end = part.end()
    return " ".join("".join((*pieces, sql[end:].lower())).split())


def without_passwords(sql: str) -> str:
    """A password that is set in a statement is for nobody's evidence; who wrote it there knows it."""
    return _PASSWORD.sub(r"\1'[secret]'", sql)


def is_repeatable(sql: str) -> bool:
    """Whether a statement that ran outside a transaction does no harm when it runs once more; several are not known."""
    text = bare(sql).rstrip("; ")
    return ";" not in text and _REPEATABLE.match(text) is not None


def _without_comment(part: re.Match[str]) -> str:
    return " " if part["comment"] else part[0]


def _shortened(part: re.Match[str], *, is_block: bool) -> str:
    if part["comment"]:
        return " "
    if part["name"]:
        return part[0]
    if part["body"] is None or not is_block:
        return "''"
    return f" {bare(part['body'])} "


def verb(sql: str) -> str:
    """The first word, in lower case; "" for none."""
    return (bare(sql).split(" ", 1) or [""])[0].strip("();")


def writes(sql: str) -> tuple[Write, ...]:
    """Every UPDATE, DELETE, MERGE and INSERT ... SELECT in it; an INSERT of VALUES is a row, and no work."""
    text = bare(sql)
    if verb(sql) not in _WRITERS:
        return ()
    found = list(_WRITES.finditer(text))
    ends = [*(match.start() for match in found), len(text)][1:]
    return tuple(
        _write(match["verb"].split()[0], match[2], text[match.end() : end])
        for match, end in zip(found, ends, strict=True)
        if match["verb"][0] != "i" or re.search(r"\bselect\b", text[match.end() : end])
    )


def _write(word: str, table: str, rest: str) -> Write:
    clause = rest.split(";", 1)[0]
    sources = tuple(_plain(name) for name in _SOURCES.findall(clause))
    is_of_all = word == "delete" and not re.search(r"\b(?:where|using)\b", clause)
    return Write(word, _plain(table), sources, bool(_BOUNDS.search(clause)), is_of_all)  # type: ignore[arg-type]


def truncated(sql: str) -> tuple[str, ...]:
    """The tables that a TRUNCATE in it names."""
    return _named_after(r"truncate(?:\s+table)?", sql)


def reclustered(sql: str) -> tuple[str, ...]:
    """The tables that CLUSTER or VACUUM FULL writes anew: PostgreSQL tells no event trigger of these."""
    if verb(sql) not in {"cluster", "vacuum"}:
        return ()
    return _named_after(r"(?:cluster(?:\s+verbose)?|vacuum\s+(?:full|\([^)]*\bfull\b[^)]*\))(?:\s+verbose)?)", sql)


def _named_after(command: str, sql: str) -> tuple[str, ...]:
    text = bare(sql)
    found = re.search(rf"(?<![\w.\"]){command}\s+(?:only\s+)?({_TABLE}(?:\s*,\s*{_TABLE})*)", text)
    return tuple(_plain(name.strip()) for name in found[1].split(",")) if found else ()


def timeouts_off(sql: str) -> tuple[str, ...]:
    """Which of lock_timeout and statement_timeout it sets to "for ever"."""
    text = _PARTS.sub(_without_comment, sql).lower()
    return tuple(_FOR_EVER.findall(text))


def ignored_rules(sql: str) -> frozenset[str]:
    """The rules that its author switched off, as squawk is told to."""
    return frozenset(name for names in _IGNORE.findall(sql) for name in re.split(r"[,\s]+", names) if name)


def full_name(name: str, tables: Iterable[str]) -> str:
    """As PostgreSQL names it: of the tables there are, the one that is meant when no schema is given."""
    if "." in name:
        return name
    return min((table for table in tables if table.split(".", 1)[-1] == name), key=_public_first, default=name)


def _public_first(table: str) -> tuple[bool, str]:
    return not table.startswith("public."), table


def _plain(name: str) -> str:
    """Quotes only where PostgreSQL's own spelling keeps them."""
    parts = re.findall(_NAME, name)
    return ".".join(part.strip('"') if re.fullmatch(r'"[a-z_][a-z0-9_$]*"', part) else part for part in parts)
