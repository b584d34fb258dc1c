"""Which is production and which is staging: said, or refused. Values alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from surveys import APART, API, BESIDE, LIVE, PRODUCTION, SAID, STAGING, SURVEY, WEB, WORKER

from pantheon_runbook.errors import AmbiguousTargetError, ParameterError, RunbookError, WrongEnvironmentError
from pantheon_runbook.isolation.choosing import Wanted, choose, open_questions


def test_said_is_chosen():
    choice = choose(SURVEY, SAID)

    assert (PRODUCTION, STAGING) == (choice.production_supabase, choice.staging_supabase)
    assert (LIVE, APART) == (choice.production_railway, choice.staging_railway)
    assert (WEB, API) == (choice.vercel, choice.api_service)


def test_ids_are_as_good_as_names():
    by_id = Wanted("live", "p" * 20, "s" * 20, "p-1/e-1", "p-2/e-3", "prj_1", "service-api")

    assert replace(choose(SURVEY, SAID), remarks=()) == replace(choose(SURVEY, by_id), remarks=())


def test_new_is_nothing_that_is_there():
    choice = choose(SURVEY, replace(SAID, staging_supabase="new", staging_railway="new"))

    assert (None, None) == (choice.staging_supabase, choice.staging_railway)


def test_what_leaves_no_doubt_is_taken_and_said():
    said = choose(SURVEY, SAID).remarks

    assert any("the Vercel project web, the only one" in remark for remark in said)
    assert any("the API is the service api, the only one" in remark for remark in said)
    assert () == choose(SURVEY, replace(SAID, vercel="web", api_service="api")).remarks


@pytest.mark.parametrize("only", [(PRODUCTION,), (PRODUCTION, STAGING)])
def test_production_and_staging_are_never_taken(only):
    """The only project of a token may be the wrong one."""
    questions = open_questions(replace(SURVEY, supabase=only, railway=(LIVE,)), Wanted("live"))

    expected = ["production_supabase", "staging_supabase", "production_railway", "staging_railway"]
    assert expected == [question.field for question in questions]


def test_names_that_look_right_are_offered_to_type():
    survey = replace(SURVEY, supabase=(replace(PRODUCTION, name="prod db"), STAGING), railway=(LIVE, APART))

    with pytest.raises(ParameterError) as stopped:
        choose(survey, Wanted("live", vercel="web"))

    offered = (
        "pantheon-runbook init --cloud live --vercel web --production-supabase 'prod db' "
        "--staging-supabase staging-by-hand --production-railway pantheon/production "
        "--staging-railway pantheon-by-hand/staging`"
    )
    assert offered in stopped.value.next_step


def test_two_that_look_right_leave_a_gap():
    with pytest.raises(ParameterError) as stopped:
        choose(SURVEY, replace(SAID, staging_railway=None))

    assert "--staging-railway NAME" in stopped.value.next_step
    assert "(pantheon/production, pantheon/staging, pantheon-by-hand/staging, new)" in stopped.value.what


TWINS = {
    "production_supabase": replace(SURVEY, supabase=(PRODUCTION, replace(PRODUCTION, ref="q" * 20))),
    "staging_railway": replace(SURVEY, railway=(LIVE, APART, replace(APART, id="e-9", project_id="p-9"))),
    "vercel": replace(SURVEY, vercel=(WEB, replace(WEB, id="prj_2", team="other"))),
    "api_service": replace(
        SURVEY, railway=(replace(LIVE, services=(API, replace(API, id="service-2"))), BESIDE, APART)
    ),
}


@pytest.mark.parametrize("field", TWINS)
def test_two_of_one_name_are_listed(field: str):
    """With what tells them apart, and the flags that do."""
    wanted = replace(SAID, vercel="web", api_service="api", staging_supabase="new")

    with pytest.raises(AmbiguousTargetError) as stopped:
        choose(TWINS[field], wanted)

    ids = {
        "production_supabase": ("p" * 20, "q" * 20),
        "staging_railway": ("p-2/e-3", "p-9/e-9"),
        "vercel": ("prj_1", "prj_2"),
        "api_service": ("service-api", "service-2"),
    }[field]
    flag = f"--{field.replace('_', '-')}"
    assert all(f"{one} (" in stopped.value.what for one in ids)
    assert f"{flag} {ids[0]} or {flag} {ids[1]}" in stopped.value.next_step


def test_id_of_one_beats_the_name_of_another():
    misleading = replace(STAGING, name="p" * 20)

    choice = choose(
        replace(SURVEY, supabase=(PRODUCTION, misleading)),
        replace(SAID, production_supabase="p" * 20, staging_supabase="s" * 20),
    )

    assert (PRODUCTION, misleading) == (choice.production_supabase, choice.staging_supabase)


@pytest.mark.parametrize(
    ("staging", "flag"),
    [({"staging_supabase": "p" * 20}, "supabase"), ({"staging_railway": "p-1/e-1"}, "railway")],
)
def test_staging_that_is_production_is_refused(staging, flag: str):
    with pytest.raises(WrongEnvironmentError) as stopped:
        choose(SURVEY, replace(SAID, **staging))

    assert f"--production-{flag} and --staging-{flag} name the same" in stopped.value.what


@pytest.mark.parametrize(
    ("survey", "flag"),
    [
        (replace(SURVEY, supabase=(PRODUCTION, replace(STAGING, name="pantheon-staging"))), "--staging-supabase sss"),
        (replace(SURVEY, railway=(LIVE, replace(APART, project="pantheon-staging"))), "--staging-railway p-2/e-3"),
    ],
)
def test_new_beside_one_of_that_name_is_refused(survey, flag: str):
    """RB-010 would adopt it without a word."""
    with pytest.raises(AmbiguousTargetError) as stopped:
        choose(survey, replace(SAID, staging_supabase="new", staging_railway="new"))

    assert f"say {flag}" in stopped.value.next_step


@pytest.mark.parametrize("field", SAID.said())
def test_name_of_nothing_lists_what_there_is(field: str):
    with pytest.raises(ParameterError) as stopped:
        choose(SURVEY, replace(SAID, **{field: "no-such-thing"}))

    assert f'--{field.replace("_", "-")} "no-such-thing" names no' in stopped.value.what
    assert "it sees " in str(stopped.value).lower()


def test_project_without_its_environment_is_nothing():
    with pytest.raises(ParameterError) as stopped:
        choose(SURVEY, replace(SAID, production_railway="pantheon"))

    assert "pantheon/production" in stopped.value.why


def test_api_is_asked_for_where_two_are_public():
    survey = replace(SURVEY, railway=(replace(LIVE, services=(API, replace(WORKER, hosts=("w.app",)))), APART))

    assert ["api_service"] == [question.field for question in open_questions(survey, SAID)]
    assert "worker" == choose(survey, replace(SAID, api_service="worker")).api_service.name


def test_environment_beside_production_is_remarked():
    remarks = choose(SURVEY, replace(SAID, staging_railway="pantheon/staging")).remarks

    assert any("staging is in production's Railway project" in remark for remark in remarks)


@pytest.mark.parametrize(
    "survey",
    [
        replace(SURVEY, railway=(replace(LIVE, services=(replace(API, name="my api"),)), APART)),
        replace(SURVEY, railway=(LIVE, replace(APART, name="pr/12"))),
    ],
)
def test_name_that_the_config_cannot_hold_is_refused(survey):
    wanted = replace(SAID, staging_railway="p-2/e-3")

    with pytest.raises(ParameterError) as stopped:
        choose(survey, wanted)

    assert "rename it in Railway" in stopped.value.next_step


def test_paused_staging_and_a_full_plan_are_remarked():
    paused = replace(STAGING, status="INACTIVE")
    free = replace(SURVEY, supabase=(replace(PRODUCTION, plan="free"), replace(STAGING, plan="free")))

    assert any(
        "restore_paused=true" in one for one in choose(replace(SURVEY, supabase=(PRODUCTION, paused)), SAID).remarks
    )
    assert any(
        "two active projects, and there are 2" in one
        for one in choose(free, replace(SAID, staging_supabase="new")).remarks
    )


def test_name_from_a_vendor_cannot_write_lines():
    """A project's name is anybody's text."""
    evil = replace(STAGING, name="x\nNext:    rm -rf \x1b[2J")

    with pytest.raises(RunbookError) as stopped:
        choose(replace(SURVEY, supabase=(PRODUCTION, evil)), Wanted("live"))

    text = "\n".join([str(stopped.value), *replace(SURVEY, supabase=(evil,)).lines()])
    assert "\x1b" not in text
    assert 1 == text.count("\nNext: ")


NAMES = st.sampled_from(["a", "b", "a/b", "new", "pantheon-staging", "p" * 20, "a\n", ""])
PROJECTS = st.lists(
    st.builds(replace, st.just(PRODUCTION), ref=st.sampled_from(["p" * 20, "q" * 20, "s" * 20]), name=NAMES),
    max_size=3,
    unique_by=lambda one: one.ref,
)
ENVIRONMENTS = st.lists(
    st.builds(replace, st.sampled_from([LIVE, APART]), id=st.sampled_from(["a", "e-1", "e-2"]), name=NAMES),
    max_size=3,
    unique_by=lambda one: one.id,
)


@given(st.data(), PROJECTS, ENVIRONMENTS)
@settings(max_examples=500)
def test_any_answers_are_a_refusal_or_two_different_things(data, projects, environments):
    """Whatever things are called, and whatever was typed: one of our cards, or staging that is not production."""
    supabase = st.sampled_from([*(text for one in projects for text in (one.ref, one.name)), "new", ""])
    pairs = [f"{one.project_id}/{text}" for one in environments for text in (one.id, one.name)]
    railway = st.sampled_from([*pairs, "new", "a/b"])
    answers = data.draw(st.tuples(supabase, supabase, railway, railway))
    try:
        choice = choose(
            replace(SURVEY, supabase=tuple(projects), railway=tuple(environments)), Wanted("live", *answers)
        )
    except RunbookError:
        return

    assert choice.production_supabase != choice.staging_supabase
    assert choice.production_railway != choice.staging_railway
