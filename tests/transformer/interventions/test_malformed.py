"""Malformed interventions: 300 and more, and one line of advice for each."""

import json

import pytest

from coopetition.tools.errors import UsageError
from tests.transformer.conftest import tiny_config
from transformer import train
from transformer.cli import main
from transformer.config import ModelConfig
from transformer.config.interventions import Intervention, check_interventions
from transformer.training.machine import Machine

MODEL = ModelConfig(n_layers=2, n_heads=2, d_model=8)
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
NO_NUMBER = (None, "a", "0.5", True, [], {}, [0.5])
NO_WHOLE = (*NO_NUMBER, 0.5)
WRONG = {
    "heads": [["x" * 3000], [f"{'9' * 5000}:0"]]
    + [[head] for head in NO_HEAD]
    + [["0:0", head] for head in NO_HEAD[:4]]
    + [[each] for each in NO_TEXT]
    + [None, 1, True, {}, [], "0:0", [["0:0"]]],
    "head": [*NO_HEAD, *NO_TEXT, "0:*"],
    "strength": [*NO_NUMBER, -0.1, 1.1, -1e-9, 1e300, float("nan"), float("inf")],
    "temperature": [
        *NO_NUMBER,
        -0.1,
        1e-40,
        1e39,
        1e300,
        float("nan"),
        float("inf"),
        float("-inf"),
    ],
    "rows": [*NO_TEXT, "some", "ALL", "label"],
    "what": [[each] for each in NO_TEXT] + [None, 1, [], {}, ["key"], ["keys", "q"], ["all"]],
    "layer": [*NO_WHOLE, 0, -1, 2, 10**9],
    "till": [*NO_WHOLE, -1, 2, 10**9],
    "from_": [*NO_WHOLE, -1, 2, 10**9],
    "checkpoint": [*NO_TEXT, "", "/dev/null", "nowhere", "/", "a\0b", "a\nb", "x" * 5000],
    "run_id": [None, 1, True, []],
    "step": [*NO_WHOLE, -1, 10**400],
}
TEXTS = [  # no JSON, or no list of objects with one name each
    *("", " ", "{", "[", "]", "Ablate", "Ablate(heads=0:0)", '{"Ablate": }', "{'Ablate': {}}"),
    *("[" * 10_000, '{"Ablate": {"heads": ["0:0"]}', "\0", "nul", '{"a": 1}}'),
    *("null", "1", "true", '"Ablate"', '["Ablate"]', "[1]", "[null]", "[[]]", "{}", "[{}]"),
    *('{"Ablate": []}', '{"Ablate": null}', '{"Ablate": "0:0"}', '[{"Ablate": {"heads": []}}, 1]'),
    *('{"ablate": {"heads": ["0:0"]}}', '{"At": {}}', '{"": {}}', '{"HeadIntervention": {}}'),
    '{"Ablate": {"heads": ["0:0"]}, "AblateEmbedding": {}}',
]
CONTRADICTIONS = [  # where both set the same
    (one, other)
    for one in ("ClampPattern", "Match", "PreviousToken", "ForbidPreviousToken")
    for other in ("ClampPattern", "Match", "PreviousToken", "ForbidPreviousToken")
]


def malformed() -> list[str]:
    cases = list(TEXTS)
    for name, fields in GOOD.items():
        cases.append(json.dumps({name: fields | {"size": 1}}))
        cases.append(json.dumps({name: None}))
        for field in fields:
            for value in WRONG[field]:
                cases.append(json.dumps({name: fields | {field: value}}))
            if field in ("heads", "head", "what", "till", "from_", "checkpoint"):
                rest = {key: value for key, value in fields.items() if key != field}
                cases.append(json.dumps({name: rest}))
    cases.append(json.dumps({"Temperature": {"heads": ["1:0"], "temperature": 0}}))
    for rows in ({"heads": ["1:0"], "rows": "labels"}, {"heads": ["0:0", "1:1"], "rows": "labels"}):
        cases += [json.dumps({name: rows}) for name in ("PreviousToken", "ForbidPreviousToken")]
    for one, other in CONTRADICTIONS:
        same = {"heads": ["1:*"]}
        cases.append(json.dumps([{one: GOOD[one] | same}, {other: GOOD[other] | same}]))
    return cases


def test_there_are_300():
    assert len(set(malformed())) >= 300


@pytest.mark.parametrize("text", malformed(), ids=lambda text: text[:80].replace("\0", "0"))
def test_a_malformed_one_is_told_in_a_line(text):
    with pytest.raises(UsageError) as refused:
        given = Intervention.from_json_text(text)
        check_interventions(given, MODEL)
        for each in given:
            each.resolved()
    told = str(refused.value)
    assert told and "\n" not in told and len(told) < 500, told


@pytest.mark.parametrize("name", sorted(set(GOOD) - {"GraftIn", "GraftOut"}))
def test_the_same_without_what_is_wrong_is_fine(name):
    given = Intervention.from_json_text(json.dumps({name: GOOD[name]}))
    check_interventions(given, MODEL)
    assert Intervention.from_json_text(Intervention.to_json_text(given)) == given


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tiny_config(), tmp_path_factory.mktemp("run") / "run", Machine("cpu", 1, "eager"))


@pytest.mark.parametrize("text", malformed()[::12], ids=lambda text: text[:80].replace("\0", "0"))
def test_and_so_by_the_command(run, text, capsys):
    assert main(["evaluate", str(run.path), "--intervene", text]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("python -m transformer")
