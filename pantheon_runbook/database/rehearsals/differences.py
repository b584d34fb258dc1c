"""Two looks at a schema beside each other: one readable line for each object that is not the same. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

_NAME = r'(?:"(?:[^"]|"")*"|[^\s".:(])+'
_SUBJECT = re.compile(r'(?:"(?:[^"]|"")*"|[^"])*?(?=: )')
_PARENT = re.compile(rf"\w+ (?P<name>{_NAME}\.{_NAME}(?:\(.*\))?)")
_GRANTEE = re.compile(rf" to {_NAME}$")
_OWNS_OTHERS = ("table", "view", "function", "sequence", "enum", "type", "schema")
_LONGEST = 120
_AROUND = 40


def differences(before: Sequence[str], after: Sequence[str]) -> tuple[str, ...]:
    """What stands in one of two `Standing.lines` and not in the other, sorted by name; none when they are equal.

    "+ index ...", "- policy ..." and "~ column public.messages.author: text NOT NULL, was text". What belongs to a
    table that is new or gone is counted in that table's own line; a long definition is shown around its first
    difference.
    """
    old, new = _by_subject(before), _by_subject(after)
    changed = sorted(name for name in old.keys() & new.keys() if old[name] != new[name])
    told = [(name, f"~ {name}: {_change(old[name], new[name])}") for name in changed]
    told += _one_sided("+", new, old) + _one_sided("-", old, new)
    return tuple(line for _, line in sorted(told, key=lambda one: (_sort_name(one[0]), one)))


def _by_subject(lines: Iterable[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        subject = _SUBJECT.match(line)
        assert subject is not None, line
        found[subject[0]] = line[subject.end() + 2 :]
    return found


def _one_sided(sign: str, here: Mapping[str, str], there: Mapping[str, str]) -> list[tuple[str, str]]:
    alone = sorted(here.keys() - there.keys())
    owners = {_name(subject): subject for subject in alone if subject.split(" ", 1)[0] in _OWNS_OTHERS}
    parts: dict[str, list[str]] = {}
    told = []
    for subject in alone:
        owner = owners.get(_parent(subject))
        if owner is not None and owner != subject:
            parts.setdefault(owner, []).append(subject.split(" ", 1)[0])
        else:
            told.append(subject)
    return [(subject, f"{sign} {subject}: {_whole(here[subject], parts.get(subject, []))}") for subject in told]


def _name(subject: str) -> str:
    return subject.partition(" ")[2]


def _parent(subject: str) -> str:
    """The table that a column is of, or the object that a grant is on; "" for what stands by itself."""
    kind, _, name = subject.partition(" ")
    if kind == "grant":
        name = _GRANTEE.sub("", name)
        found = _PARENT.match(f"{kind} {name}")
        return found["name"] if found else name
    if kind in {"column", "constraint", "index", "policy", "trigger", "rule", "comment"}:
        found = _PARENT.match(subject)
        return found["name"] if found else ""
    return ""


def _sort_name(subject: str) -> str:
    return _parent(subject) or _name(subject)


def _whole(definition: str, parts: Sequence[str]) -> str:
    counted = [f"{parts.count(kind)} {_plural(kind, parts.count(kind))}" for kind in dict.fromkeys(parts)]
    return ", ".join([_short(definition), *counted])


def _plural(kind: str, count: int) -> str:
    if count == 1:
        return kind
    return {"index": "indexes", "policy": "policies"}.get(kind, f"{kind}s")


def _change(old: str, new: str) -> str:
    first, second = " ".join(old.split()), " ".join(new.split())
    if first == second:
        return "differs in its white space only"
    if len(first) + len(second) <= 2 * _LONGEST:
        return f"{second}, was {first}"
    start = next(
        (at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    return f"{_excerpt(second, start)}, was {_excerpt(first, start)}"


def _excerpt(text: str, at: int) -> str:
    begin, end = max(0, at - _AROUND), at + 2 * _AROUND
    return f"{'...' if begin else ''}{text[begin:end]}{'...' if end < len(text) else ''}"


def _short(definition: str) -> str:
    text = " ".join(definition.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
