"""Staging held against production, thing by thing: the same, different, as it must be, or not to be read. Pure.

A row says how two things relate and never what they hold. An alarm is a row that proves sharing, or that staging is not
as it should be; what cannot be read proves neither, and is shown as that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pantheon_runbook.model import (
    RELATIONS,
    Change,
    Desired,
    Exposure,
    Finding,
    MatrixRow,
    Relation,
    Resource,
    Snapshot,
)
from pantheon_runbook.planning import difference, few, shown

# What must differ and what must be equal, as "<address> <attribute>"; the rest may be as it likes.
_MUST_DIFFER = re.compile(
    r"supabase/project (ref|database_host)|supabase/(api-key|secret)/\S+ value|supabase/pooler db_user"
    r"|supabase/auth (site_url|uri_allow_list|external_\w+_client_ids?|hook_\w+_uri|sms_\w+_sid)"
    r"|railway/(project|environment) id|railway/service/\S+ instance|railway/volume/\S+ id"
    r"|railway/domain/\S+ (service|custom)_domains|(railway|vercel)/(team-)?variable/\S+ fingerprint"
)
_MUST_BE_EQUAL = re.compile(r"vercel/project id|supabase/bucket/\S+ (public|file_size_limit|allowed_mime_types)")
_PROVISION = "pantheon-runbook run RB-010"
_ONE_VALUE_EACH = {
    "railway/variables/": "railway/variable/{place}/{name}",
    "vercel/variables/": "vercel/variable/{name}",
    "supabase/secrets": "supabase/secret/{name}",
    "railway/source/": "railway/service/{place}",
    "database/revision/": "database/schema",
}

UNREADABLE = "production-unreadable"
_SHARING = frozenset({"production-secret", "points-at-production", "shared-variable", "shared-project"})
_ALARMS: Mapping[Relation, str] = {"shared": "not production's", "must be equal and is not": "as in production"}
_TELLING: tuple[Relation, ...] = (*_ALARMS, "cannot be read", "differs", "must be equal and is", "same")
_FEW = 6  # auth settings alone have two hundred; what is alike in most of them is for the file
_SHOWN_AS = {"fingerprint": "value", "value": "what is shown of it"}  # what only a digest or nothing is shown of
_OF_ITS_OWN = "give staging one of its own at the vendor, then run RB-060 again"
_LOOK_AND_ACCEPT = (
    "put it back at the vendor; if it is meant, an RB-010 apply run takes it as it is from then on: "
    "pantheon-runbook run RB-010 --apply"
)
_COPIED = (
    "make staging an empty environment and RB-010 --apply, or declare railway/environment copied_from under "
    "exceptions in pantheon.toml once nothing of production's is left in it"
)


@dataclass(frozen=True, slots=True)
class Allowed:
    """A declared exception: this may be shared, says `owner`, because of `reason`; in these `attributes` only.

    That a thing has drifted is never declared away.
    """

    subject: str
    reason: str
    owner: str
    attributes: tuple[str, ...] = ()


def subject_of(address: str, name: str = "") -> str:
    """The one name of a thing, whoever speaks of it: RB-010 has variables by place, the inventories one by one."""
    for prefix, form in _ONE_VALUE_EACH.items():
        if address.startswith(prefix):
            place, _, own = address.removeprefix(prefix).lstrip("/").partition("/")
            return form.format(place=place, name=name or own or place)
    return address


def as_wanted(desired: Iterable[Desired], snapshot: Snapshot) -> Iterator[MatrixRow]:
    """Staging held against what RB-010 would make: missing, wrong, or not to be read."""
    wanted, provision = tuple(desired), f"{_PROVISION} -e {snapshot.environment}"
    project = snapshot.get("supabase/project")
    is_down = project.state == "present" and project.attributes.get("status") != "ACTIVE_HEALTHY"
    missing = {one.address for one in wanted if snapshot.get(one.address).state == "absent"}
    for one in wanted:
        seen = snapshot.get(one.address)
        waits = sorted(missing & set(one.depends_on))
        if is_down and one.address != project.address and one.address.startswith(("supabase/", "database/")):
            yield MatrixRow(one.address, "cannot be read", "there", "the Supabase project does not answer")
        elif seen.state == "absent" and waits:
            yield MatrixRow(one.address, "missing", f"there, once {waits[0]} is", "not there")
        elif one.address.startswith(tuple(_ONE_VALUE_EACH)):
            yield from (_value_row(one, seen, name, provision=provision) for name in sorted(one.attributes))
        elif seen.state == "absent":
            yield MatrixRow(one.address, "missing", "there", "not there", is_alarm=True, next_step=provision)
        elif names := difference(one, seen):
            found = f"{', '.join(names)}: {shown(seen.attributes, like=dict.fromkeys(names)) or 'not there'}"
            expected = shown(one.attributes, like=dict.fromkeys(names))
            yield MatrixRow(one.address, "wrong", expected, found, is_alarm=True, next_step=provision)


def _value_row(wanted: Desired, seen: Resource, name: str, *, provision: str) -> MatrixRow:
    """One variable: by fingerprints, where both are known."""
    subject, want, have = subject_of(wanted.address, name), wanted.attributes[name], seen.attributes.get(name)
    if have is None:
        return MatrixRow(subject, "missing", "staging's value", "not there", is_alarm=True, next_step=provision)
    if want["fingerprint"] is None or have.get("fingerprint") is None:
        return MatrixRow(
            subject, "cannot be read", "staging's value", "its value, or the one it should have, is not known"
        )
    if want["fingerprint"] == have["fingerprint"]:
        return MatrixRow(subject, "differs", "staging's value", "staging's own value")
    return MatrixRow(subject, "wrong", "staging's value", "another value", is_alarm=True, next_step=provision)


def of_findings(findings: Iterable[Finding]) -> Iterator[MatrixRow]:
    """What the looks have found already; one that only informs is none of ours."""
    for one in findings:
        if one.blocks:
            if one.code == UNREADABLE:
                yield MatrixRow(subject_of(one.address), "cannot be read", "to be read", one.what)
                continue
            relation: Relation = "shared" if one.code in _SHARING else "wrong"
            subject = subject_of(one.address)
            yield MatrixRow(subject, relation, "staging's own", one.what, is_alarm=True, next_step=one.next_step)


def side_by_side(staging: Mapping[str, Resource], production: Mapping[str, Resource]) -> Iterator[MatrixRow]:
    """Each thing that either of them holds, by address."""
    for address in sorted({*staging, *production}):
        ours, theirs = staging.get(address), production.get(address)
        if "unreadable" in {side.state for side in (ours, theirs) if side is not None}:
            notes = [f"{name}: {side.note}" for name, side in _named(ours, theirs) if side.state == "unreadable"]
            yield MatrixRow(address, "cannot be read", "to be read", "; ".join(notes))
        elif ours is None or ours.state == "absent":
            yield MatrixRow(address, "missing", "as in production, where staging needs it", "in production only")
        elif theirs is None or theirs.state == "absent":
            yield _alone(address, ours.attributes)
        else:
            yield _pair(address, ours.attributes, theirs.attributes)


def _alone(address: str, ours: Mapping[str, Any]) -> MatrixRow:
    """Under a name that production does not have; a value that is not shown could be production's all the same."""
    none = "nothing of this name in production"
    if "fingerprint" in ours and ours["fingerprint"] is None:
        found = f"{none}, and its value is not shown: whether it is one of production's is not known"
        return MatrixRow(address, "cannot be read", "staging's own", found)
    return MatrixRow(address, "only in staging", "staging's own", none)


def _named(ours: Resource | None, theirs: Resource | None) -> Iterator[tuple[str, Resource]]:
    yield from ((name, side) for name, side in (("staging", ours), ("production", theirs)) if side is not None)


def _pair(address: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> MatrixRow:
    """One row for all attributes: the gravest says how the two relate, the rest is told behind it."""
    told: dict[Relation, list[str]] = {}
    for name in sorted({*ours, *theirs}):
        relation = _relation(f"{address} {name}", ours.get(name), theirs.get(name))
        told.setdefault(relation, []).append(_SHOWN_AS.get(name, name))
    found = "; ".join(f"{one}: {few(told[one], most=_FEW)}" for one in RELATIONS if told.get(one))
    relation = next((one for one in _TELLING if told.get(one)), "same")
    guarded = any(_MUST_DIFFER.fullmatch(f"{address} {name}") for name in {*ours, *theirs})
    if relation in _ALARMS:
        next_step = _OF_ITS_OWN if relation == "shared" else _PROVISION
        names = tuple(told[relation])
        return MatrixRow(
            address, relation, _ALARMS[relation], found, is_alarm=True, next_step=next_step, attributes=names
        )
    return MatrixRow(address, relation, "not production's" if guarded else "anything", found or "nothing to compare")


def _relation(key: str, ours: Any, theirs: Any) -> Relation:
    """How one attribute relates; a value that production did not pin is one that cannot be read."""
    if _MUST_BE_EQUAL.fullmatch(key):
        return "must be equal and is" if ours == theirs else "must be equal and is not"
    if key.startswith("vercel/") and key.endswith(" targets"):
        return "shared" if "production" in (ours or ()) else "differs"
    if not _MUST_DIFFER.fullmatch(key):
        return "same" if ours == theirs else "differs"
    if key.endswith(" uri_allow_list"):
        ours, theirs = (sorted({_host_of(url) for url in urls or ()}) for urls in (ours, theirs))
    if _is_unread(key, ours) or _is_unread(key, theirs):
        return "cannot be read"
    are_lists = isinstance(ours, list) and isinstance(theirs, list)
    in_both = [one for one in ours if one in theirs] if are_lists else ours == theirs
    return "shared" if ours and in_both else "differs"


def _host_of(url: str) -> str:
    return url.partition("://")[2].partition("/")[0] or url


def _is_unread(key: str, value: Any) -> bool:
    """What a vendor never shows again; and a value of which there is no fingerprint, since nobody pinned it."""
    return (isinstance(value, Mapping) and bool(value.get("unreadable"))) or (
        value is None and key.endswith(" fingerprint")
    )


def pinned(staging: Mapping[str, Resource], pins: Mapping[str, str]) -> Iterator[MatrixRow]:
    """Each value of staging that is one of production's pinned secrets, whatever it is called there."""
    names = {fingerprint: name for name, fingerprint in pins.items()}
    for address, seen in staging.items():
        if name := names.get(str(seen.attributes.get("fingerprint"))):
            found = f"it holds production's secret ({name})"
            yield MatrixRow(address, "shared", "not production's", found, is_alarm=True, next_step=_OF_ITS_OWN)


def copied(staging: Mapping[str, Resource], production: Mapping[str, Resource]) -> Iterator[MatrixRow]:
    """A Railway environment that was made as a copy: production's variables and volumes came along (FACTS 2).

    It stays one whatever is replaced in it, so it is for the team to declare that nothing of them is left.
    """
    address, name = "railway/environment", "copied_from"
    ours, theirs = staging.get(address), production.get(address)
    source = ours.attributes.get(name) if ours else None
    if source and theirs and source == theirs.attributes.get("id"):
        found, step = "it was copied from production, with its variables", _COPIED
        yield MatrixRow(address, "shared", "staging's own", found, is_alarm=True, next_step=step, attributes=(name,))


def untold(problem: str) -> MatrixRow:
    """Drift cannot be told: whoever takes a run away, or changes one, would choose what this one is held against."""
    step = "pantheon-runbook evidence verify, and put the evidence back as it was sealed"
    return MatrixRow("evidence", "wrong", "as it was sealed", problem, is_alarm=True, next_step=step)


def drifted(before: Mapping[str, Any], now: Mapping[str, Any], *, since: str) -> Iterator[MatrixRow]:
    """Each thing of either side that is not as it was in the run `since`, by what is different."""
    for subject in sorted({*before, *now}):
        then, today = before.get(subject), now.get(subject)
        if then == today:
            continue
        names = _changed(then, today) if then and today else ()
        found = "gone" if today is None else "new" if then is None else f"changed: {', '.join(names)}"
        yield MatrixRow(
            subject, "drifted", f"as in {since}", found, is_alarm=True, next_step=_LOOK_AND_ACCEPT, attributes=names
        )


def accepted(drift: Iterable[MatrixRow], changes: Iterable[Change]) -> Iterator[MatrixRow]:
    """Drift that an apply run takes as it is: no alarm in it, nor in a later one. What its plan `changes` is none."""
    own = dict(_planned(changes))
    for row in drift:
        is_own = row.subject in own and (own[row.subject] is None or set(row.attributes) <= set(own[row.subject] or ()))
        if not is_own:
            yield MatrixRow(row.subject, row.relation, f"{row.expected}; accepted by this apply", row.found)


def _planned(changes: Iterable[Change]) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    """Each subject with the attributes that are changed, None for the whole of it: a new thing, or a variable."""
    for one in changes:
        for name in one.after:
            subject = subject_of(one.address, name)
            is_whole = one.action == "create" or subject != one.address
            yield subject, None if is_whole else one.after


def opened(before: Iterable[Mapping[str, Any]], now: Iterable[Exposure], *, since: str) -> Iterator[MatrixRow]:
    """Each way into production that is open and was not, or not in this way, in `since`; a closed one is no alarm."""
    then = {one["address"]: one["found"] for one in before if one["state"] == "open"}
    for one in now:
        if one.state == "open" and one.found != then.get(one.address):
            subject, how = f"exposure/{one.address}", "is another" if one.address in then else "opened"
            found = f"{how}: {one.found}"
            yield MatrixRow(subject, "drifted", f"as in {since}", found, is_alarm=True, next_step=one.next_step)


def _changed(then: Mapping[str, Any], today: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(name for name in {*then, *today} if then.get(name) != today.get(name)))


def settled(rows: Iterable[MatrixRow], exceptions: Iterable[Allowed]) -> tuple[MatrixRow, ...]:
    """One row for each subject, the gravest; what was declared is no alarm, and says who declared it and why."""
    allowed = {one.subject: one for one in exceptions}
    told = [_declared(row, allowed.get(row.subject)) for row in rows]
    ordered = sorted(told, key=lambda row: (row.subject, not row.is_alarm, RELATIONS.index(row.relation)))
    return tuple(next(same) for _, same in groupby(ordered, key=lambda row: row.subject))


def _declared(row: MatrixRow, allowed: Allowed | None) -> MatrixRow:
    is_covered = allowed is not None and set(row.attributes) <= set(allowed.attributes)
    if allowed is None or not row.is_alarm or not is_covered or row.relation == "drifted":
        return row
    return MatrixRow(row.subject, row.relation, f"allowed by {allowed.owner}: {allowed.reason}", row.found)
