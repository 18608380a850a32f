"""Plans whose nodes fit together, and mistakes in those whose nodes do not."""

import json
from dataclasses import replace

import numpy as np
import pytest

from coopetition.tools.errors import UsageError
from tests.transformer.conftest import tiny_config
from transformer.config import StartConfig
from transformer.data.encoders.efficientnet import EfficientNetConfig
from transformer.data.exemplars.features import FeatureConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.interventions.grafts import GraftOut
from transformer.sweeps.features import Features, TrainEncoder
from transformer.sweeps.measure import ModelTable, RunTable
from transformer.sweeps.plan import Plan
from transformer.sweeps.train import Train

TINY = tiny_config()
FIRST = Train(name="first", config=TINY)


def start(step: int, name: str = "second", after: str = "first") -> Train:
    return Train(name=name, config=replace(TINY, start=StartConfig(step=step)), after=after)


def graft(checkpoint: str) -> Train:
    grafted = replace(TINY, interventions=(GraftOut(checkpoint=checkpoint, from_=0),))
    return Train(name="grafted", config=grafted)


PAIR = Train(name="pair", config={"a": TINY, "b": replace(TINY, init_seed=6)})
SHORT = start(10, "short", "pair/a")
LONG = replace(SHORT, name="long", extends="short", config=replace(SHORT.configs[""], n_steps=80))

FROZEN = Features(name="f", drawings=GlyphConfig(), encoder=EfficientNetConfig(), after="e")


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        ([], "no nodes"),
        ([start(10)], "second needs first"),
        ([FIRST, FIRST], "first"),
        ([start(10, "a", "b"), start(10, "b", "c"), start(10, "c", "a")], r"(\w -> ){3}\w"),
        ([FIRST, start(11)], "step 11 of first"),
        ([FIRST, start(50)], "step 50 of first"),
        ([replace(FIRST, config=replace(TINY, keep=("1", "last"))), start(10)], "step 10 of first"),
        ([FIRST, start(10, after="first/pair")], "first/pair; choose one of first"),
        ([Train(name="a/b", config=TINY)], "'a/b'"),
        ([FIRST, RunTable(name="m", measure="nothing", of=("first",))], "'nothing'"),
        (
            [FIRST, RunTable(name="m", measure="events", of=("first",)), start(10, after="m")],
            "second starts from m",
        ),
        ([FIRST, replace(start(10), exemplars="first", after="")], "exemplars from first"),
        ([FIRST, replace(FIRST, name="b", extends="first")], "b extends first"),
        ([PAIR, SHORT, replace(LONG, after="pair/b")], "long extends short"),
        ([PAIR, SHORT, LONG, start(20, after="long")], "step 20 of long.* end of short"),
        (
            [PAIR, SHORT, LONG, graft("long/checkpoints/step_000000020.safetensors")],
            "step 20 of long.* end of short",
        ),
        ([FIRST, RunTable(name="m", measure="events", of=())], "m measures no runs"),
        ([TrainEncoder(name="e"), FROZEN], "EfficientNetConfig"),
        ([FIRST, ModelTable(name="r", measures=("accuracy",), of="nowhere")], "r needs nowhere"),
    ],
)
def test_nodes_that_do_not_fit_are_named_in_one_line(nodes, names):
    with pytest.raises(UsageError, match=names) as error:
        Plan(nodes)
    assert "\n" not in str(error.value)


def test_nodes_come_after_their_needs_and_otherwise_as_given():
    plan = Plan([start(10), FIRST, start(20, "third"), start(10, "fourth", "third")])
    assert [*plan.nodes] == ["first", "second", "third", "fourth"]
    assert [*plan.select(["fo*"]).nodes] == ["first", "third", "fourth"]
    with pytest.raises(UsageError, match="nothing"):
        plan.select(["nothing"])


def test_an_extension_may_be_extended():
    longest = replace(LONG, name="longest", extends="long", config=replace(TINY, n_steps=120))
    longest = replace(longest, config=replace(SHORT.configs[""], n_steps=120))
    assert [*Plan([longest, LONG, SHORT, PAIR]).nodes] == ["pair", "short", "long", "longest"]


def test_files_are_filled_in_for_the_kinds_that_want_them(tmp_path):
    plan = Plan([FIRST, Train(name="open", config=TINY.with_kind(FeatureConfig))])
    with pytest.raises(UsageError, match="--data features"):
        plan.check_files()
    for kind, path in (("omniglot", tmp_path), ("features", tmp_path / "no.npy")):
        with pytest.raises(UsageError, match=f"--data {kind}"):
            plan.with_files({kind: path})
    np.save(tmp_path / "some.npy", np.zeros((20, 4, 3), np.float32))
    plan.with_files({"features": tmp_path / "some.npy"}).check_files()


def test_tables_are_done_while_their_runs_and_settings_are_the_same(tmp_path):
    config = replace(tiny_config(), n_steps=8, checkpoint_every=4)
    table = ModelTable(
        name="swapped",
        measures=("accuracy",),
        of="run",
        steps="all",
        evaluators=("flip",),
        interventions=(GraftOut(checkpoint="other", from_=0),),
    )
    other = Train(name="other", config=replace(config, init_seed=6))
    pair = Train(name="pair", config={"a": config, "b": replace(config, init_seed=7)})
    of_b = ModelTable(name="of_b", measures=("accuracy",), of="pair/b", evaluators=("flip",))
    plan = Plan([Train(name="run", config=config), other, table, pair, of_b])
    assert table.needs == ("run", "other")
    for node in plan.nodes.values():
        assert not node.is_done(tmp_path)
        node.execute(tmp_path, "cpu", 1)
        assert node.is_done(tmp_path)
    lines = (tmp_path / "swapped" / "table.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 4 and lines[1].split(",")[3] == "flip"
    assert not replace(table, evaluators=("icl",)).is_done(tmp_path)
    assert of_b.needs == ("pair",) and [*of_b.measured_runs(tmp_path)] == ["pair/b"]


def test_a_damaged_table_is_measured_again(tmp_path):
    """A record without a hash, as older versions wrote it, accepts any table."""
    run = Train(name="run", config=replace(tiny_config(), n_steps=4))
    table = RunTable(name="norms", measure="weight_norms", of=("run",))
    for node in (run, table):
        node.execute(tmp_path, "cpu", 1)
    file, record = (tmp_path / "norms" / f"table.{end}" for end in ("csv", "json"))
    whole, recorded = file.read_bytes(), json.loads(record.read_text())
    for damaged in (whole[:30], whole.replace(b"1", b"2"), b""):
        file.write_bytes(damaged)
        assert not table.is_done(tmp_path)
    for damaged in ("[]", "null", "{"):
        record.write_text(damaged)
        assert not table.is_done(tmp_path)
    table.execute(tmp_path, "cpu", 1)
    assert table.is_done(tmp_path) and file.read_bytes() == whole
    del recorded["table_hash"]
    record.write_text(json.dumps(recorded))
    assert table.is_done(tmp_path)
