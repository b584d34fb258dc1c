"""Staging beside production, with values alone."""

from __future__ import annotations

import pytest

from pantheon_runbook.isolation.matrix import (
    Allowed,
    accepted,
    as_wanted,
    copied,
    drifted,
    of_findings,
    opened,
    pinned,
    settled,
    side_by_side,
    subject_of,
)
from pantheon_runbook.model import Change, Comparison, Desired, Exposure, Finding, MatrixRow, Resource, Snapshot

HERS = {"from": "literal.LOG_LEVEL", "fingerprint": "a" * 64}


def seen(*resources: Resource) -> Snapshot:
    return Snapshot("sandbox", "staging", {}, {}, resources, (), "2026-11-23T10:00:00Z")


def there(address: str, **attributes: object) -> Resource:
    return Resource(address, "present", attributes)


def relations(*rows: MatrixRow) -> dict[str, tuple[str, bool]]:
    return {row.subject: (row.relation, row.is_alarm) for row in rows}


def compared(address: str, ours: Resource | None, theirs: Resource | None) -> tuple[str, bool]:
    (row,) = side_by_side({address: ours} if ours else {}, {address: theirs} if theirs else {})
    return row.relation, row.is_alarm


@pytest.mark.parametrize(
    ("address", "ours", "theirs", "expected"),
    [
        ("supabase/project", {"ref": "a"}, {"ref": "b"}, ("differs", False)),
        ("supabase/project", {"ref": "a"}, {"ref": "a"}, ("shared", True)),
        (
            "supabase/secret/K",
            {"value": {"unreadable": True}},
            {"value": {"unreadable": True}},
            ("cannot be read", False),
        ),
        ("supabase/secret/K", {"value": {"fingerprint": "f"}}, {"value": {"fingerprint": "f"}}, ("shared", True)),
        ("railway/environment", {"id": "e1"}, {"id": "e1"}, ("shared", True)),
        (
            "railway/domain/api",
            {"service_domains": [{"host": "x"}, {"host": "y"}]},
            {"service_domains": [{"host": "y"}]},
            ("shared", True),
        ),
        ("railway/domain/api", {"service_domains": []}, {"service_domains": []}, ("differs", False)),
        ("railway/variable/api/K", {"fingerprint": "f"}, {"fingerprint": "f"}, ("shared", True)),
        ("railway/variable/api/K", {"fingerprint": "f"}, {"fingerprint": None}, ("cannot be read", False)),
        ("railway/variable/api/K", {"fingerprint": None}, {"fingerprint": "f"}, ("cannot be read", False)),
        ("supabase/bucket/b", {"public": True}, {"public": True}, ("must be equal and is", False)),
        ("supabase/bucket/b", {"public": True}, {"public": False}, ("must be equal and is not", True)),
        ("vercel/project", {"id": "p"}, {"id": "p"}, ("must be equal and is", False)),
        ("supabase/auth", {"uri_allow_list": ["https://a/x"]}, {"uri_allow_list": ["https://a/y"]}, ("shared", True)),
        ("vercel/variable/K", {"targets": ["preview", "production"]}, {"targets": ["production"]}, ("shared", True)),
        ("vercel/team-variable/K", {"targets": ["production", "x"]}, {"targets": ["production"]}, ("shared", True)),
        ("supabase/auth", {"jwt_exp": 1}, {"jwt_exp": 2}, ("differs", False)),
        ("supabase/auth", {"jwt_exp": 1}, {"jwt_exp": 1}, ("same", False)),
        ("supabase/auth", {"hook_x_uri": "p", "jwt_exp": 1}, {"hook_x_uri": "p", "jwt_exp": 2}, ("shared", True)),
        ("supabase/auth", {"hook_x_uri": None}, {"hook_x_uri": None}, ("differs", False)),
    ],
)
def test_attribute_relates_by_its_rule(address, ours, theirs, expected):
    assert expected == compared(address, there(address, **ours), there(address, **theirs))


def test_row_tells_every_attribute_and_no_value():
    (row,) = side_by_side(
        {"supabase/auth": there("supabase/auth", hook_x_uri="hers", jwt_exp=1, site_url="same")},
        {"supabase/auth": there("supabase/auth", hook_x_uri="his", jwt_exp=1, site_url="same")},
    )

    assert "shared: site_url; same: jwt_exp; differs: hook_x_uri" == row.found


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (None, there("x"), ("missing", False)),
        (there("x", fingerprint=None), None, ("cannot be read", False)),
        (there("x", fingerprint="f"), None, ("only in staging", False)),
        (there("x"), None, ("only in staging", False)),
        (Resource("x", "unreadable", note="403"), there("x"), ("cannot be read", False)),
        (Resource("x", "absent"), there("x"), ("missing", False)),
    ],
)
def test_one_side_alone_is_no_alarm(ours, theirs, expected):
    assert expected == compared("x", ours, theirs)


def test_missing_thing_is_one_alarm_at_its_root():
    """What waits for something that is missing itself is not told as another fault."""
    wanted = (Desired("supabase/project", {"status": "x"}), Desired("supabase/auth", {}, ("supabase/project",)))

    assert {"supabase/project": ("missing", True), "supabase/auth": ("missing", False)} == relations(
        *as_wanted(wanted, seen())
    )


def test_variable_is_told_by_its_own_name():
    wanted = (
        Desired("railway/variables/api", {"LOG_LEVEL": HERS, "GONE": HERS, "LATER": {**HERS, "fingerprint": None}}),
    )
    ground = seen(there("railway/variables/api", LOG_LEVEL={"fingerprint": "b" * 64}, LATER={"fingerprint": "c" * 64}))

    assert {
        "railway/variable/api/LOG_LEVEL": ("wrong", True),
        "railway/variable/api/GONE": ("missing", True),
        "railway/variable/api/LATER": ("cannot be read", False),
    } == relations(*as_wanted(wanted, ground))


def test_paused_project_hides_and_does_not_lack():
    wanted = (Desired("supabase/bucket/avatars", {"public": True}), Desired("database/marker", {}))
    ground = seen(there("supabase/project", status="INACTIVE"))

    assert {("cannot be read", False)} == set(relations(*as_wanted(wanted, ground)).values())


@pytest.mark.parametrize(
    ("address", "name", "subject"),
    [
        ("railway/variables/api", "LOG_LEVEL", "railway/variable/api/LOG_LEVEL"),
        ("railway/variables/api/LOG_LEVEL", "", "railway/variable/api/LOG_LEVEL"),
        ("vercel/variables/preview/K", "", "vercel/variable/K"),
        ("vercel/variables/preview", "K", "vercel/variable/K"),
        ("supabase/secrets", "K", "supabase/secret/K"),
        ("supabase/secrets/K", "", "supabase/secret/K"),
        ("supabase/bucket/avatars", "", "supabase/bucket/avatars"),
    ],
)
def test_thing_has_one_name(address, name, subject):
    assert subject == subject_of(address, name)


def test_finding_that_blocks_is_an_alarm():
    told = Finding("production-secret", "railway/variables/api/K", "K holds production's secret", "rotate it")
    hint = Finding("branch-variable", "vercel/variables/preview/K", "a value of its own", "look", blocks=False)

    assert {"railway/variable/api/K": ("shared", True)} == relations(*of_findings((told, hint)))


def test_drift_names_what_is_different_and_nothing_else():
    before = {"a": {"x": 1, "y": 1}, "b": {"x": 1}, "d": {"x": 1}}
    now = {"a": {"x": 1, "y": 2}, "c": {"x": 1}, "d": {"x": 1}}

    rows = tuple(drifted(before, now, since="an earlier run"))

    assert {"a": "changed: y", "b": "gone", "c": "new"} == {row.subject: row.found for row in rows}
    assert all(row.is_alarm for row in rows)


def test_apply_tells_what_drifted_besides_its_own_changes():
    """No alarm in the run that takes it, and said by name: from then on it is the ground."""
    before = {
        "railway/service/api": {"repository": "a", "start": "x"},
        "railway/service/worker": {"repository": "a"},
        "railway/variable/api/LOG_LEVEL": {"fingerprint": "1", "updated_at": "1"},
        "production/railway/service/api": {"start": "x"},
    }
    now = {
        "railway/service/api": {"repository": "b", "start": "y"},
        "railway/service/worker": {"repository": "b"},
        "railway/variable/api/LOG_LEVEL": {"fingerprint": "2", "updated_at": "2"},
        "production/railway/service/api": {"start": "y"},
        "supabase/bucket/uploads": {"public": False},
    }
    own = (
        change("railway/service/api", repository="b"),
        change("railway/service/worker", repository="b"),
        change("railway/variables/api", LOG_LEVEL=HERS),
        change("supabase/bucket/uploads", action="create", public=False),
    )

    rows = tuple(accepted(drifted(before, now, since="an earlier run"), own))

    assert {"railway/service/api": ("drifted", False), "production/railway/service/api": ("drifted", False)} == (
        relations(*rows)
    )
    assert {"as in an earlier run; accepted by this apply"} == {row.expected for row in rows}


def change(address: str, *, action: str = "update", **after: object) -> Change:
    return Change(address, action, {}, after, (), "none", "put back")


def test_way_that_was_opened_or_widened_is_an_alarm_and_one_that_was_closed_is_not():
    ways = [Exposure(address, "a way", state, "found", "close it") for address, state in STATES.items()]
    before = [
        {"address": address, "state": "open", "found": found}
        for address, found in {"was open": "found", "closed now": "found", "wider": "another"}.items()
    ]

    assert {"exposure/opened": ("drifted", True), "exposure/wider": ("drifted", True)} == relations(
        *opened(before, ways, since="an earlier run")
    )


STATES = {
    "was open": "open", "opened": "open", "wider": "open", "closed now": "closed by vendor", "unread": "cannot be read",
}  # fmt: skip


def test_value_is_productions_whatever_it_is_called():
    held = {"railway/variable/api/OTHER": there("x", fingerprint="f" * 64), "a": there("a", fingerprint="0" * 64)}

    assert {"railway/variable/api/OTHER": ("shared", True)} == relations(*pinned(held, {"DATABASE_URL": "f" * 64}))


@pytest.mark.parametrize(("source", "expected"), [("e1", True), ("e9", False), (None, False)])
def test_copy_of_production_is_an_alarm_of_its_own(source, expected):
    """Whatever has been replaced in it since; the team may declare that nothing is left."""
    ours = {"railway/environment": there("railway/environment", id="e2", copied_from=source)}
    theirs = {"railway/environment": there("railway/environment", id="e1", copied_from=None)}
    rows = tuple(copied(ours, theirs))

    assert ({"railway/environment": ("shared", True)} if expected else {}) == relations(*rows)
    declared = Allowed("railway/environment", "every value was replaced", "team", ("copied_from",))
    assert [] == [row for row in settled(rows, (declared,)) if row.is_alarm]


def test_exception_covers_its_attributes_and_no_drift():
    shared = MatrixRow("a", "shared", "not production's", "shared: x, y", is_alarm=True, attributes=("x", "y"))
    moved = MatrixRow("a", "drifted", "as before", "changed: z", is_alarm=True)

    def told(*attributes: str) -> dict[str, tuple[str, bool]]:
        return relations(*settled((shared, moved), (Allowed("a", "because of that", "team", attributes),)))

    assert {"a": ("shared", True)} == told("x")
    assert {"a": ("drifted", True)} == told("x", "y")


def test_subject_has_one_row_the_gravest():
    rows = (
        MatrixRow("a", "same", "any", "alike"),
        MatrixRow("a", "drifted", "as before", "changed", is_alarm=True),
        MatrixRow("a", "wrong", "this", "that", is_alarm=True),
        MatrixRow("b", "cannot be read", "to be read", "403"),
        MatrixRow("b", "missing", "there", "not there"),
    )

    assert {"a": ("wrong", True), "b": ("cannot be read", False)} == relations(*settled(rows, ()))


def test_declared_exception_is_no_alarm_and_says_who():
    row = MatrixRow("a", "shared", "not production's", "shared: x", is_alarm=True, next_step="do")

    (allowed,) = settled((row,), (Allowed("a", "one sender for both until May", "supervisor"),))

    assert ("shared", False) == (allowed.relation, allowed.is_alarm)
    assert "allowed by supervisor: one sender for both until May" == allowed.expected


def test_gravest_check_is_told_first():
    """On the terminal and in the report as on the card."""
    rows = (
        MatrixRow("a", "drifted", "e", "f", is_alarm=True),
        MatrixRow("b", "same", "e", "f"),
        MatrixRow("c", "shared", "e", "f", is_alarm=True),
    )

    assert ["c", "a", "b"] == [check.name for check in Comparison("staging", rows, (), {}).checks]


def test_exception_for_another_subject_helps_nothing():
    row = MatrixRow("a/b", "shared", "not production's", "shared: x", is_alarm=True)

    assert (row,) == settled((row,), (Allowed("a", "one sender for both until May", "supervisor"),))
