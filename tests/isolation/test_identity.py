"""What vouches for an environment, and what does not: by values alone."""

from __future__ import annotations

import pytest

from pantheon_runbook.errors import WrongEnvironmentError
from pantheon_runbook.isolation.identity import (
    Known,
    Made,
    confirmed_in,
    refuse_others,
    refuse_unobserved,
    unconfirmed,
)
from pantheon_runbook.model import Resource, Snapshot

REF, OTHER = "staging" + "s" * 13, "production" + "p" * 10
PRODUCTION = {
    "supabase_ref": OTHER,
    "railway_project": "p-1",
    "railway_environment": "e-1",
    "vercel_target": "production",
}
IDENTITIES = {"supabase_ref": REF, "railway_project": "p-2", "railway_environment": "e-2", "vercel_project": "prj"}
MARKED = {"database_marker": f"staging {REF}"}
PROJECT = Resource("supabase/project", "present", {"name": "ours"})
RAILWAY = Resource("railway/environment", "present", {"project": "ours", "name": "staging"})
CONNECTS = Resource("database/password", "present", {"held": True})
KNOWN = Known("staging", PRODUCTION)
BOTH = ["supabase/project", "railway/environment"]


def strangers(*, known: Known = KNOWN, made: Made | None = None, held: bool = False, **identities: str) -> list[str]:
    """The addresses of what nobody vouches for."""
    seen = {**IDENTITIES, **identities}
    resources = (PROJECT, RAILWAY, *((CONNECTS,) if held else ()))
    snapshot = Snapshot("sandbox", "staging", seen, PRODUCTION, resources, (), "2026-11-24T10:00:00Z")
    return [one.address for one in unconfirmed(snapshot, known, lambda: made or Made(), command="run")]


def allowing(**allowed: str) -> Known:
    return Known("staging", PRODUCTION, allowed)


def test_what_exists_is_not_ours_by_existing():
    assert ["supabase/project", "railway/environment"] == strangers()


@pytest.mark.parametrize(
    ("vouched", "left"),
    [
        ({"known": allowing(supabase_ref=REF, railway_environment="e-2")}, []),
        ({"known": allowing(supabase_ref=REF, railway_project="p-2")}, ["railway/environment"]),
        ({"known": Known("staging", PRODUCTION, {}, (REF, "e-2"))}, []),
        ({"known": Known("staging", PRODUCTION, {}, (REF,))}, ["railway/environment"]),
        ({"made": Made(ids=frozenset({REF, "p-2"}))}, []),
        ({"made": Made(ids=frozenset({"e-2"}))}, ["supabase/project"]),
        ({"made": Made(names=frozenset({("supabase/project", "ours"), ("railway/project", "ours")}))}, []),
        ({"made": Made(names=frozenset({("railway/p-2", "staging")}))}, ["supabase/project"]),
        ({"made": Made(names=frozenset({("supabase/project", "another"), ("railway/p-3", "staging")}))}, BOTH),
        ({**MARKED, "held": True}, []),
        ({**MARKED}, ["railway/environment"]),
        ({"held": True}, BOTH),
    ],
)  # fmt: skip
def test_each_voucher_is_worth_what_it_says(vouched, left):
    assert left == strangers(**vouched)


@pytest.mark.parametrize("known", [KNOWN, allowing(supabase_ref=REF, railway_environment="e-2")])
def test_marker_that_is_gone_outweighs_lists_and_runs(known):
    """A run of ours wrote it; the database answers and does not have it: its content is another one by now."""
    made = Made(ids=frozenset({REF, "p-2"}), marked=frozenset({REF}))

    assert ["database/marker"] == strangers(known=known, made=made, held=True)
    assert [] == strangers(known=Known("staging", PRODUCTION, {}, (REF,)), made=made, held=True)
    assert [] == strangers(known=known, made=made)  # nobody can look into it: no password of ours connects


def test_next_step_is_the_command_with_every_id():
    snapshot = Snapshot("sandbox", "staging", IDENTITIES, PRODUCTION, (PROJECT, RAILWAY), (), "2026-11-24T10:00:00Z")
    known = Known("staging", PRODUCTION, {}, ("e-2",))

    (finding,) = unconfirmed(snapshot, known, Made, command="pantheon-runbook run RB-010 -e staging")

    assert f"pantheon-runbook run RB-010 -e staging -p confirm=e-2,{REF}" == finding.next_step
    assert (True, True) == (REF in finding.what, finding.blocks)


def test_confirmed_id_must_have_been_observed():
    with pytest.raises(WrongEnvironmentError, match="e-9 was confirmed, and it is not what was observed"):
        strangers(known=Known("staging", PRODUCTION, {}, ("e-9",)))


def test_confirm_is_a_list_with_commas():
    assert ("a", "b") == confirmed_in(" a,,b , a ")
    assert () == confirmed_in("")


@pytest.mark.parametrize("name", ["supabase_ref", "railway_project", "railway_environment"])
def test_productions_ids_are_refused_in_capitals_too(name):
    with pytest.raises(WrongEnvironmentError, match=f"is production by its {name}"):
        refuse_others({**IDENTITIES, name: PRODUCTION[name].upper()}, KNOWN)


@pytest.mark.parametrize("name", sorted(IDENTITIES))
def test_other_id_than_the_allow_list_says_is_refused(name):
    known = Known("staging", PRODUCTION, {**IDENTITIES, name: "another"})

    with pytest.raises(WrongEnvironmentError, match=f"than identities.toml allows, by its {name}"):
        refuse_others(IDENTITIES, known)


@pytest.mark.parametrize(
    ("address", "missing"),
    [
        ("supabase/bucket/uploads", "supabase_ref"),
        ("database/marker", "supabase_ref"),
        ("railway/service/api", "railway_environment"),
        ("vercel/variables/preview", "vercel_project"),
    ],
)
@pytest.mark.parametrize("state", ["present", "unreadable"])
def test_what_cannot_be_told_whose_it_is_is_refused(address, missing, state):
    told = {name: value for name, value in IDENTITIES.items() if name != missing}

    with pytest.raises(WrongEnvironmentError, match=f"whose {address} it is cannot be observed"):
        refuse_unobserved([Resource(address, state)], told, KNOWN)
    refuse_unobserved([Resource(address, "absent")], told, KNOWN)
    refuse_unobserved([Resource(address, state)], IDENTITIES, KNOWN)
