"""Which project and environment is production and which is staging. Pure: survey and flags in, choice or refusal out.

Nothing is guessed: a name that looks right is offered in the text of the refusal, as the flag to type. Only what leaves
no doubt and gives nobody the right to write is taken, and said: the one Vercel project, the one public service.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pantheon_runbook.errors import AmbiguousTargetError, ParameterError, WrongEnvironmentError
from pantheon_runbook.isolation.survey import (
    RailwayEnvironment,
    RailwayService,
    SupabaseProject,
    Survey,
    VercelProject,
    printable,
)
from pantheon_runbook.secrets import has_token_shape

NEW = "new"
NEW_NAME = "pantheon-staging"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # what pantheon.toml takes as a name
_STATE = "nothing was changed, and no file was written"

Candidate = SupabaseProject | RailwayEnvironment | VercelProject | RailwayService


@dataclass(frozen=True)
class Wanted:
    """The flags as they were typed; None, or no cloud, was not said."""

    cloud: str = ""
    production_supabase: str | None = None
    staging_supabase: str | None = None
    production_railway: str | None = None
    staging_railway: str | None = None
    vercel: str | None = None
    api_service: str | None = None

    def said(self) -> dict[str, str]:
        """What was said, by field."""
        return {slot.field: text for slot in _SLOTS if (text := getattr(self, slot.field)) is not None}


@dataclass(frozen=True)
class _Slot:
    field: str
    what: str  # what is chosen from
    question: str
    hint: re.Pattern[str]  # what the right name would look like
    can_be_new: bool = False

    @property
    def flag(self) -> str:
        return f"--{self.field.replace('_', '-')}"


_PRODUCTION, _STAGING = re.compile("prod|live", re.IGNORECASE), re.compile("stag", re.IGNORECASE)
_SLOTS = (
    _Slot("production_supabase", "Supabase project", "which Supabase project is production", _PRODUCTION),
    _Slot("staging_supabase", "Supabase project", "which Supabase project is staging", _STAGING, can_be_new=True),
    _Slot("production_railway", "Railway environment", "which Railway environment is production", _PRODUCTION),
    _Slot("staging_railway", "Railway environment", "which Railway environment is staging", _STAGING, can_be_new=True),
    _Slot("vercel", "Vercel project", "which Vercel project is the frontend", re.compile("web|front", re.IGNORECASE)),
    _Slot("api_service", "Railway service", "which Railway service is the API", re.compile("api|back", re.IGNORECASE)),
)


@dataclass(frozen=True)
class Question:
    """One thing that was not said; each of `answers` names exactly one candidate. `guess` is only ever shown."""

    field: str
    flag: str
    text: str
    answers: tuple[str, ...]
    guess: str | None


@dataclass(frozen=True)
class Choice:
    """What is what. Staging is None where RB-010 is to make it; `remarks` say what was taken or is worth knowing."""

    production_supabase: SupabaseProject
    staging_supabase: SupabaseProject | None
    production_railway: RailwayEnvironment
    staging_railway: RailwayEnvironment | None
    vercel: VercelProject
    api_service: RailwayService
    remarks: tuple[str, ...]


def open_questions(survey: Survey, wanted: Wanted) -> tuple[Question, ...]:
    """What has to be said still; the API's service is asked for once production's environment is known."""
    return tuple(
        _question(slot, candidates)
        for slot in _SLOTS
        if getattr(wanted, slot.field) is None
        and (candidates := _candidates(survey, wanted, slot)) is not None
        and _without_doubt(slot, candidates) is None
    )


def choose(survey: Survey, wanted: Wanted) -> Choice:
    """The choice that the flags make.

    Errors: ParameterError (not said, or nothing of that name), AmbiguousTargetError (two of that name, or "new" beside
        one that is there), WrongEnvironmentError (staging would be production).
    """
    _refuse_tokens(wanted)
    _refuse_wrong_answers(survey, wanted)
    questions = open_questions(survey, wanted)
    if questions:
        raise _not_said(wanted, questions)
    found = {slot.field: _found(survey, wanted, slot) for slot in _SLOTS}
    missing = next((slot for slot in _SLOTS if found[slot.field] is None and not slot.can_be_new), None)
    if missing is not None:
        raise _nothing_of_a_name(missing, getattr(wanted, missing.field) or "", ())
    choice = Choice(**found, remarks=())  # type: ignore[arg-type]  # each slot finds what its field is
    _refuse_staging_that_is_production(choice)
    _refuse_new_beside_old(survey, choice)
    _refuse_names_that_cannot_be_written(choice)
    return replace(choice, remarks=tuple(_remarks(survey, wanted, choice)))


def _candidates(survey: Survey, wanted: Wanted, slot: _Slot) -> tuple[Candidate, ...] | None:
    """What the slot can be filled with; None while that depends on something not said."""
    if slot.what == "Supabase project":
        return survey.supabase
    if slot.what == "Railway environment":
        return survey.railway
    if slot.what == "Vercel project":
        return survey.vercel
    production = [one for one in survey.railway if wanted.production_railway in _spellings(one)]
    if len(production) != 1:
        return None
    services = tuple(service for service in production[0].services if not service.is_store)
    return tuple(service for service in services if service.hosts) or services


def _spellings(candidate: Candidate) -> tuple[str, ...]:
    """Everything that names it; an environment is named together with its project."""
    if isinstance(candidate, SupabaseProject):
        return candidate.ref, candidate.name
    if isinstance(candidate, RailwayEnvironment):
        projects, names = (candidate.project_id, candidate.project), (candidate.id, candidate.name)
        return tuple(f"{project}/{name}" for project in projects for name in names)
    return candidate.id, candidate.name


def _answers(candidates: Sequence[Candidate]) -> dict[str, Candidate]:
    """The readable spelling of each where it is the only one of that name, else its id."""
    answers: dict[str, Candidate] = {}
    for candidate in candidates:
        identifier, name = _spellings(candidate)[0], _spellings(candidate)[-1]
        is_alone = sum(name in _spellings(other) for other in candidates) == 1 and name != NEW
        answers[name if is_alone and name == printable(name) else identifier] = candidate
    return answers


def _without_doubt(slot: _Slot, candidates: Sequence[Candidate]) -> Candidate | None:
    """The only candidate, where taking a wrong one could not make production look like staging."""
    is_harmless = slot.field in {"vercel", "api_service"}
    return candidates[0] if is_harmless and len(candidates) == 1 else None


def _question(slot: _Slot, candidates: Sequence[Candidate]) -> Question:
    answers = tuple(_answers(candidates))
    alike = [answer for answer in answers if slot.hint.search(answer)]
    guess = alike[0] if len(alike) == 1 else None
    if slot.can_be_new:
        guess = guess if alike else NEW
        answers = (*answers, NEW)
    return Question(slot.field, slot.flag, slot.question, answers, guess)


def _found(survey: Survey, wanted: Wanted, slot: _Slot) -> Candidate | None:
    """What the flag names, the one that leaves no doubt, or None for "new". All other cases have been refused."""
    candidates = _candidates(survey, wanted, slot) or ()
    answer = getattr(wanted, slot.field)
    if answer is None:
        return _without_doubt(slot, candidates)
    matching = _matching(candidates, answer)
    return None if slot.can_be_new and answer == NEW else matching[0]


def _matching(candidates: Sequence[Candidate], answer: str) -> list[Candidate]:
    """An id names one whatever the others are called; a name may name several."""
    by_id = [one for one in candidates if answer == _spellings(one)[0]]
    return by_id or [one for one in candidates if answer in _spellings(one)]


def _refuse_tokens(wanted: Wanted) -> None:
    """Pasted into the wrong place, it must not be shown again in a refusal."""
    for slot in _SLOTS:
        if has_token_shape(wanted.said().get(slot.field, "")):
            raise ParameterError(
                f"what was said with {slot.flag} looks like a token",
                why="a command line is kept in the shell's history",
                state=_STATE,
                next_step=f"revoke it if it is one, and name a {slot.what} instead",
            )


def _refuse_wrong_answers(survey: Survey, wanted: Wanted) -> None:
    for slot in _SLOTS:
        answer = getattr(wanted, slot.field)
        candidates = _candidates(survey, wanted, slot)
        if answer is None or candidates is None or (slot.can_be_new and answer == NEW):
            continue
        matching = _matching(candidates, answer)
        if len(matching) > 1:
            raise _two_of_a_name(slot, answer, matching)
        if not matching:
            raise _nothing_of_a_name(slot, answer, candidates)


def _two_of_a_name(slot: _Slot, answer: str, matching: Sequence[Candidate]) -> AmbiguousTargetError:
    listed = "; ".join(_described(one) for one in matching)
    flags = " or ".join(f"{slot.flag} {_spellings(one)[0]}" for one in matching)
    return AmbiguousTargetError(
        f'{slot.flag} "{printable(answer)}" names {len(matching)} things: {listed}',
        why="names are not unique, and guessing could write to the wrong one",
        state=_STATE,
        next_step=f"look at both at the vendor, then say {flags}",
    )


def _nothing_of_a_name(slot: _Slot, answer: str, candidates: Sequence[Candidate]) -> ParameterError:
    there = ", ".join((*_answers(candidates), *([NEW] if slot.can_be_new else []))) or "none"
    return ParameterError(
        f'{slot.flag} "{printable(answer)}" names no {slot.what} that the token sees',
        why=f"it sees {there}",
        state=_STATE,
        next_step=f"say {slot.flag} with one of these, or set a token that sees more",
    )


def _described(candidate: Candidate) -> str:
    if isinstance(candidate, SupabaseProject):
        more = f"organization {candidate.organization_name}, {candidate.region}, {candidate.status}"
    elif isinstance(candidate, RailwayEnvironment):
        more = f"workspace {candidate.workspace}, {len(candidate.services)} services"
    elif isinstance(candidate, VercelProject):
        more = f"team {candidate.team}"
    else:
        more = ", ".join(candidate.hosts) or "no public domain"
    return printable(f"{_spellings(candidate)[0]} ({more})")


def _not_said(wanted: Wanted, questions: Sequence[Question]) -> ParameterError:
    asked = "; ".join(f"{one.text} ({', '.join(one.answers) or 'the token sees none'})" for one in questions)
    return ParameterError(
        f"{len(questions)} of {len(_SLOTS)} things were not said: {asked}",
        why="a guess could take production for staging",
        state=_STATE,
        next_step=f"check each name in `{command(wanted, questions)}`, then run it",
    )


def command(wanted: Wanted, questions: Sequence[Question] = ()) -> str:
    """What to type: what was said, and for what was not the name that looks right, or a gap to fill in."""
    said = {slot.flag: wanted.said()[slot.field] for slot in _SLOTS if slot.field in wanted.said()}
    guessed = {one.flag: one.guess or "NAME" for one in questions}
    flags = {"--cloud": wanted.cloud, **said, **guessed}
    return " ".join(["pantheon-runbook init", *(f"{flag} {shlex.quote(text)}" for flag, text in flags.items())])


def _refuse_staging_that_is_production(choice: Choice) -> None:
    pairs: Mapping[str, tuple[Candidate, Candidate | None]] = {
        "supabase": (choice.production_supabase, choice.staging_supabase),
        "railway": (choice.production_railway, choice.staging_railway),
    }
    for vendor, (production, staging) in pairs.items():
        if staging == production:
            raise WrongEnvironmentError(
                f"--production-{vendor} and --staging-{vendor} name the same: {_described(production)}",
                why="staging that is production is what this tool is there to prevent",
                state=_STATE,
                next_step=f"say --staging-{vendor} {NEW}, or name the one that is staging",
            )


def _refuse_new_beside_old(survey: Survey, choice: Choice) -> None:
    """RB-010 finds by name before it makes: "new" would quietly adopt what somebody made."""
    production, environment = choice.production_supabase, choice.production_railway
    projects = [
        one
        for one in survey.supabase
        if one.name == NEW_NAME and one.organization == production.organization and choice.staging_supabase is None
    ]
    environments = [
        one
        for one in survey.railway
        if one.project == NEW_NAME and one.workspace_id == environment.workspace_id and choice.staging_railway is None
    ]
    there: Sequence[Candidate] = projects or environments
    if there:
        flag = "--staging-supabase" if projects else "--staging-railway"
        raise AmbiguousTargetError(
            f"{flag} {NEW} was said, and {NEW_NAME} is there: {'; '.join(_described(one) for one in there)}",
            why="a runbook would take it for its own by its name",
            state=_STATE,
            next_step=f"say {flag} {_spellings(there[0])[0]} to adopt it, or rename it at the vendor",
        )


def _refuse_names_that_cannot_be_written(choice: Choice) -> None:
    names = {"the API's service": choice.api_service.name}
    if choice.staging_railway is not None:
        names["staging's environment"] = choice.staging_railway.name
    for what, name in names.items():
        if not is_name(name):
            raise ParameterError(
                f'{what} is called "{printable(name)}" in Railway',
                why="a runbook finds it by its name, and takes letters, digits, dot, dash and underscore only",
                state=_STATE,
                next_step="rename it in Railway, then run init again",
            )


def is_name(text: str) -> bool:
    """Whether pantheon.toml can hold it as a name."""
    return _NAME.fullmatch(text) is not None


def _remarks(survey: Survey, wanted: Wanted, choice: Choice) -> Iterator[str]:
    if wanted.vercel is None:
        yield f"taken: the Vercel project {printable(choice.vercel.name)}, the only one that the token sees"
    if wanted.api_service is None:
        yield f"taken: the API is the service {choice.api_service.name}, the only one that it can be"
    staging, railway = choice.staging_supabase, choice.staging_railway
    if staging is not None and staging.status == "INACTIVE":
        yield f"{printable(staging.name)} is paused: run RB-010 with -p restore_paused=true"
    if staging is None and choice.production_supabase.plan == "free":
        active = sum(
            one.organization == choice.production_supabase.organization and one.status != "INACTIVE"
            for one in survey.supabase
        )
        yield f"the Free plan holds two active projects, and there are {active}"
    if railway is not None and railway.project_id == choice.production_railway.project_id:
        yield (
            "staging is in production's Railway project: a service that it lacks has to be added there by hand "
            f"(--staging-railway {NEW} makes a project of its own)"
        )
