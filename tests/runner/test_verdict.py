"""`judge`: each word of DESIGN 3 from the events that lead to it."""

from __future__ import annotations

import pytest

from pantheon_runbook.verdict import EXIT_CODES, NotebookStatus, Verdict, judge

ALL_RUN = NotebookStatus("all-run")
PLAN_ACTS = ("open", "observe", "plan")
ACTS = (*PLAN_ACTS, "approve", "apply", "verify")


def opened(mode):
    return {"event": "run-opened", "mode": mode}


def ran(*acts, changes=3):
    events = []
    for act in acts:
        events += [{"event": "act-begins", "act": act}, {"event": "act-ends", "act": act, "changes": changes}]
    return events


def failed(act, word, what="why it failed", **more):
    failure = {"event": "act-failed", "act": act, "word": word, "what": what, **more}
    return [{"event": "act-begins", "act": act}, failure]


WRITE = [{"event": "write-intent"}, {"event": "write-result"}]
WORDS = [
    ("planned", "3 to change", [opened("plan"), *ran(*PLAN_ACTS)]),
    ("nothing-to-do", "everything is as desired", [opened("plan"), *ran(*PLAN_ACTS, changes=0)]),
    ("nothing-to-do", "everything is as desired", [opened("apply"), *ran(*ACTS, changes=0)]),
    ("done", "3 changes made with 0 API calls, and verified", [opened("apply"), *ran(*ACTS)]),
    ("failed", "why it failed", [opened("plan"), *ran("open"), *failed("observe", "failed")]),
    ("held", "why it failed", [opened("apply"), *ran(*PLAN_ACTS, changes=0), *failed("approve", "held")]),
    ("refused", "why it failed", [opened("apply"), *ran(*PLAN_ACTS, "approve"), *failed("apply", "refused")]),
    ("partial", "why it failed", [opened("apply"), *ran(*PLAN_ACTS, "approve"), *failed("apply", "partial")]),
    ("partial", "apply began and did not end", [opened("apply"), *ran(*ACTS[:4]), *ran("apply")[:1]]),
    ("unknown", "why it failed", [opened("apply"), *ran(*PLAN_ACTS, "approve"), *failed("apply", "unknown")]),
    ("incomplete", "the act verify never happened", [opened("apply"), *ran(*ACTS[:5])]),
    ("incomplete", "the act plan never happened", [opened("plan"), *ran("open", "observe")]),
    ("incomplete", "the act open never happened", []),
    ("not-verified", "why it failed", [opened("apply"), *ran(*ACTS[:5]), *failed("verify", "not-verified")]),
]


def test_accepted_drift_is_in_the_verdict():
    """An apply whose card nobody opens does not take it silently."""
    drift = {"event": "act-ends", "act": "verify", "changes": 3, "drift_accepted": ["railway/project"]}
    nothing = [opened("apply"), *ran(*ACTS, changes=0), {**drift, "changes": 0, "drift_accepted": ["a", "b"]}]

    told = [judge(events, ALL_RUN).why for events in ([opened("apply"), *ran(*ACTS), drift], nothing)]

    assert [
        "3 changes made with 0 API calls, and verified; 1 thing drifted and is accepted",
        "everything is as desired; 2 things drifted and are accepted",
    ] == told


@pytest.mark.parametrize(("word", "why", "events"), WORDS)
def test_each_word_by_its_events(word, why, events):
    assert Verdict(word, EXIT_CODES[word], why, "all-run") == judge(events, ALL_RUN)


def test_exit_codes_are_a_contract():
    expected = {
        "planned": 0, "nothing-to-do": 0, "done": 0, "failed": 1, "held": 3, "refused": 4,
        "partial": 5, "unknown": 5, "incomplete": 5, "abandoned": 5, "not-verified": 6,
    }  # fmt: skip
    assert expected == EXIT_CODES


@pytest.mark.parametrize(
    ("why", "events"),
    [
        ("the runner was killed during the act apply", [opened("apply"), *ran(*ACTS[:4]), *ran("apply")[:1], *WRITE]),
        ("the runner was killed during the act observe", [opened("plan"), *ran("open"), *ran("observe")[:1]]),
        ("the runner was killed before it could seal this run", [opened("apply"), *ran(*ACTS)]),
    ],
)
def test_killed_runner_is_abandoned(why, events):
    killed = NotebookStatus("not-observed", "the runner was killed")

    assert Verdict("abandoned", 5, why, "not-observed") == judge(events, killed, abandoned=True)


def test_recorded_failure_outranks_the_kill():
    events = [opened("apply"), *ran(*ACTS[:4]), *failed("apply", "unknown")]

    verdict = judge(events, NotebookStatus("not-observed"), abandoned=True)

    assert Verdict("unknown", 5, "why it failed; then the runner was killed", "not-observed") == verdict


@pytest.mark.parametrize(
    "events",
    [
        [opened("plan"), *ran(*PLAN_ACTS)],
        [opened("plan"), *ran(*PLAN_ACTS, changes=0)],
        [opened("apply"), *ran(*ACTS)],
    ],
)
def test_success_needs_every_cell(events):
    notebook = NotebookStatus("not-all-run", "the kernel died in cell 4")

    assert Verdict("incomplete", 5, "the kernel died in cell 4", "not-all-run") == judge(events, notebook)


def test_incomplete_acts_name_what_stopped_the_notebook():
    notebook = NotebookStatus("not-all-run", "SIGTERM was received")

    verdict = judge([opened("plan"), *ran("open")], notebook)

    assert "the act observe never happened: SIGTERM was received" == verdict.why


def test_failed_act_outranks_the_cells():
    notebook = NotebookStatus("not-all-run", "RunStoppedError was raised in cell 12")
    events = [opened("apply"), *ran(*ACTS[:5]), *failed("verify", "not-verified")]

    assert Verdict("not-verified", 6, "why it failed", "not-all-run") == judge(events, notebook)


def test_cells_that_nobody_saw_do_not_spoil_the_acts():
    assert Verdict("done", 0, "3 changes made with 0 API calls, and verified", "not-observed") == judge(
        [opened("apply"), *ran(*ACTS)], NotebookStatus("not-observed")
    )


def test_act_called_too_early_does_not_count():
    early = {"event": "act-failed", "act": "apply", "word": "refused", "what": "out of order", "out_of_order": True}

    assert "done" == judge([opened("apply"), early, *ran(*ACTS)], ALL_RUN).word
    assert "incomplete" == judge([opened("apply"), early], ALL_RUN).word


def test_act_that_ended_at_the_second_try_has_not_failed():
    events = [opened("plan"), *ran("open"), *failed("observe", "incomplete"), *ran("observe", "plan")]

    assert "planned" == judge(events, ALL_RUN).word


@pytest.mark.parametrize("grave", ["partial", "unknown", "failed"])
def test_refusal_after_a_stopped_apply_does_not_hide_it(grave):
    """Tried again in the same run, apply refuses a stale plan; what the first try left behind is the news."""
    tries = [*failed("apply", grave, what="first"), *failed("apply", "refused", what="second")]

    verdict = judge([opened("apply"), *ran(*ACTS[:4]), *tries], ALL_RUN)

    assert (grave, "first") == (verdict.word, verdict.why)


def test_wrong_config_that_is_found_on_the_way_can_be_sealed():
    """As when the backend's interpreter is not there, which is known when it is started."""
    verdict = judge([opened("plan"), *ran("open"), *failed("observe", "no-run")], ALL_RUN)

    assert ("refused", EXIT_CODES["refused"]) == (verdict.word, verdict.exit_code)


def test_apply_that_wrote_is_never_merely_refused():
    """A journal that cannot be written is a refusal; after the first write it leaves a half-done change."""
    events = [opened("apply"), *ran(*ACTS[:4]), *WRITE, *failed("apply", "refused")]

    assert "partial" == judge(events, ALL_RUN).word


@pytest.mark.parametrize("order", [("partial", "unknown"), ("unknown", "partial")])
def test_unknown_is_the_gravest(order):
    tries = [event for word in order for event in failed("apply", word)]

    assert "unknown" == judge([opened("apply"), *ran(*ACTS[:4]), *tries], ALL_RUN).word
