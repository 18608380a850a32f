"""Malformed interventions, and one line of advice for each."""

import json

import pytest

from coopetition.tools.errors import UsageError
from tests.transformer.interventions.conftest import SMALL
from transformer.cli import main
from transformer.config.interventions import Intervention, check_interventions

GOOD = {  # each with all its fields
    "Ablate": {"heads": ["0:0"]},
    "ClampPattern": {"heads": ["1:0"], "strength": 0.5},
    "Match": {"heads": ["1:0"], "temperature": 0.5},
    "PreviousToken": {"heads": ["0:0"], "strength": 0.5, "rows": "all"},
    "ForbidPreviousToken": {"heads": ["0:0"], "rows": "all"},
    "Temperature": {"heads": ["1:0"], "temperature": 2.0},
    "SilenceNonLabels": {"heads": ["1:0"]},
    "Preserve": {"what": ["keys"]},
    "CopyFromPattern": {"head": "1:0"},
    "PerfectPreviousTokenInput": {"layer": 1},
    "GraftIn": {"checkpoint": "nowhere", "till": 0, "run_id": "", "step": 0},
    "GraftOut": {"checkpoint": "nowhere", "from_": 0, "run_id": "", "step": 0},
    "AblateEmbedding": {},
}
NO_HEAD = ("2:0", "0:2", "a", "0", "", ":", "0:", ":0", "-1:0", "0:-1", "*:0", "0:0:0", "0:0 ")
NO_HEAD += ("0.5:0", "9" * 40 + ":0", "0:x")
NO_TEXT = (None, 1, 1.5, True, [], {})
NO_NUMBER = (None, "a", "0.5", True, [], {}, [0.5], float("nan"), float("inf"), float("-inf"))
NO_WHOLE = (*NO_NUMBER, 0.5)
WRONG = {
    "heads": [["x" * 3000], [f"{'9' * 5000}:0"]]
    + [[head] for head in NO_HEAD]
    + [["0:0", head] for head in NO_HEAD[:4]]
    + [[each] for each in NO_TEXT]
    + [None, 1, True, {}, [], "0:0", [["0:0"]]],
    "head": [*NO_HEAD, *NO_TEXT, "0:*"],
    "strength": [*NO_NUMBER, -0.1, 1.1, -1e-9, 1e300],
    "temperature": [*NO_NUMBER, -0.1, 1e-40, 1e39, 1e300],
    "rows": [*NO_TEXT, "some", "ALL", "label"],
    "what": [[each] for each in NO_TEXT] + [None, 1, [], {}, ["key"], ["keys", "q"], ["all"]],
    "layer": [*NO_WHOLE, 0, -1, 2, 10**9],
    "till": [*NO_WHOLE, -1, 2, 10**9],
    "from_": [*NO_WHOLE, -1, 2, 10**9],
    "checkpoint": [*NO_TEXT, "", "/dev/null", "nowhere", "/", "a\0b", "a\nb", "x" * 5000],
    "run_id": [None, 1, True, []],
    "step": [*NO_WHOLE, -1, 10**400],
}
REQUIRED = ("heads", "head", "what", "till", "from_", "checkpoint")
TEXTS = [  # no JSON, or no list of objects with one name each
    *("", " ", "{", "[", "]", "Ablate", "Ablate(heads=0:0)", '{"Ablate": }', "{'Ablate': {}}"),
    *("[" * 10_000, '{"Ablate": {"heads": ["0:0"]}', "\0", "nul", '{"a": 1}}'),
    *("null", "1", "true", '"Ablate"', '["Ablate"]', "[1]", "[null]", "[[]]", "{}", "[{}]"),
    *('{"Ablate": []}', '{"Ablate": null}', '{"Ablate": "0:0"}', '[{"Ablate": {"heads": []}}, 1]'),
    *('{"ablate": {"heads": ["0:0"]}}', '{"At": {}}', '{"": {}}', '{"HeadIntervention": {}}'),
    '{"Ablate": {"heads": ["0:0"]}, "AblateEmbedding": {}}',
]
CONTRADICTORY = ("ClampPattern", "Match", "PreviousToken", "ForbidPreviousToken")


def malformed() -> list[str]:
    cases: list[object] = [{"Temperature": {"heads": ["1:0"], "temperature": 0}}]
    for name, fields in GOOD.items():
        cases += [{name: fields | {"size": 1}}, {name: None}]
        cases += [{name: fields | {field: value}} for field in fields for value in WRONG[field]]
        for field in {*REQUIRED} & {*fields}:
            cases.append({name: {key: value for key, value in fields.items() if key != field}})
    for heads in (["1:0"], ["0:0", "1:1"]):  # nothing reads labels' rows of the last layer
        rows = {"heads": heads, "rows": "labels"}
        cases += [{"PreviousToken": rows}, {"ForbidPreviousToken": rows}]
    for one in CONTRADICTORY:
        for other in CONTRADICTORY:
            same = {"heads": ["1:*"]}
            cases.append([{one: GOOD[one] | same}, {other: GOOD[other] | same}])
    return [*TEXTS, *sorted(map(json.dumps, cases))]


@pytest.mark.parametrize("text", malformed(), ids=lambda text: text[:80].replace("\0", "0"))
def test_a_malformed_intervention_is_refused_in_one_line(text):
    with pytest.raises(UsageError) as refused:
        given = Intervention.from_json_text(text)
        check_interventions(given, SMALL)
        for each in given:
            each.resolved()
    message = str(refused.value)
    assert message and "\n" not in message and len(message) < 500, message


def test_a_wrong_field_is_named_beside_those_expected():
    with pytest.raises(UsageError, match=r"unknown 'head'.*missing 'heads'.*expected: heads"):
        Intervention.from_json_text('{"Ablate": {"head": ["0:0"]}}')


@pytest.mark.parametrize("name", sorted(set(GOOD) - {"GraftIn", "GraftOut"}))
def test_the_well_formed_ones_are_accepted(name):
    given = Intervention.from_json_text(json.dumps({name: GOOD[name]}))
    check_interventions(given, SMALL)
    assert Intervention.from_json_text(Intervention.to_json_text(given)) == given


@pytest.mark.parametrize("text", malformed()[::12], ids=lambda text: text[:80].replace("\0", "0"))
def test_the_command_refuses_them_in_one_line(runs, text, capsys):
    assert main(["evaluate", str(runs[0].path), "--intervene", text]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("python -m transformer")
