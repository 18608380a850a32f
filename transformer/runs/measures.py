"""Tables of measures: rows of a run, and tables of its models over training."""

import json
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import Interrupted, UsageError, UserError, abbreviate
from coopetition.tools.files import check_writable, to_csv, write_json, write_text
from coopetition.tools.locks import hold
from transformer.config.interventions import Intervention
from transformer.config.plain import to_named_dict
from transformer.data.evaluators import evaluators_of
from transformer.data.exemplar_sets import Exemplars, load_exemplars
from transformer.data.sequences import Sequences
from transformer.measures import MEASURES, PER_RUN, Measure, Row, all_settings, find_measures
from transformer.measures.of_models import View
from transformer.model.loaded import Model
from transformer.runs.folder import RunFolder
from transformer.runs.metrics import thin
from transformer.runs.models import load_model, load_state


def measure_run(run: RunFolder, name: str) -> Iterator[Row]:
    """Return the rows of a measure per run, per checkpoint or per state.

    The latter two have the columns `step` and `sequences` first.  Further checkpoints that an
    interruption left are skipped, so that a table does not depend on them.
    """
    (measure,) = find_measures([name], *PER_RUN).values()
    if measure.per == "run":
        yield from measure(run)
        return
    exemplars = load_exemplars(run.config.data.exemplars) if measure.per == "state" else None
    steps = run.state_steps() if exemplars else run.steps()
    for step in filter(run.config.is_checkpoint, steps):
        start: Row = {"step": step, "sequences": step * run.config.sequences_per_step}
        subject = load_state(run, step, exemplars) if exemplars else load_model(run, step)
        for row in measure(subject):
            yield start | row


def thin_steps(steps: Iterable[int], spacing: float) -> list[int]:
    """Thin rising steps to a minimum relative spacing; keep the last."""
    steps = [*steps]
    return [steps[number] for number in thin(steps, spacing)]


def describe_table(
    run: RunFolder,
    measures: Sequence[str],
    *,
    evaluators: Sequence[str] | None = None,
    interventions: tuple[Intervention, ...] = (),
    replace_own: bool = False,
) -> dict[str, Any]:
    """Return what the rows of a table depend on, apart from its steps, as JSON keeps it.

    See `write_model_table` for the parameters.
    """
    if not measures:
        names = [name for name, each in MEASURES.items() if each.per == "evaluator"]
        raise UsageError(f"no measures are given; choose from {', '.join(names)}")
    chosen = find_measures(measures, "evaluator")
    names = [*evaluators_of(run.config).data]
    if evaluators is not None:
        names = [*dict.fromkeys(_check_choice("evaluator", names, evaluators))]
    about = {
        "run_id": run.config.run_id(),
        "measures": list(chosen),
        "evaluators": names,
        "interventions": [to_named_dict(each.resolved(), for_id=True) for each in interventions],
        **all_settings(chosen),
        **({"replaces": True} if replace_own else {}),
    }
    return json.loads(json.dumps(about))


def write_model_table(
    run: RunFolder,
    measures: Sequence[str],
    out: Path,
    *,
    description: Path | None = None,
    steps: Iterable[int] | None = None,
    evaluators: Sequence[str] | None = None,
    interventions: tuple[Intervention, ...] = (),
    replace_own: bool = False,
) -> dict[str, Any]:
    """Write the CSV table of measures per evaluator of a run's checkpoints, and describe it.

    Finished steps are kept in `OUT.partial`, a line for each, until all are done: to continue after
    an interruption, call it again, with other steps too.  A second process that writes the same
    table raises `UserError`.

    Parameters
    ----------
    measures : names of `MEASURES`
    description : JSON file that describes the table, if any; it is written before the table
    steps : of checkpoints (default: all but further ones that an interruption left)
    evaluators : names (default: all of the run)
    interventions : what the models are measured under, beside what they were trained under
    replace_own : whether to leave out what they were trained under
    """
    if out.is_dir() or not out.name:
        raise UsageError(f"{out} is a folder; give a file")
    check_writable(out)
    about = describe_table(
        run,
        measures,
        evaluators=evaluators,
        interventions=interventions,
        replace_own=replace_own,
    )
    chosen = find_measures(measures, "evaluator")
    planned = [step for step in run.steps() if run.config.is_checkpoint(step)]
    wanted = planned if steps is None else _check_choice("step", run.steps(), steps)
    drawn = run.evaluation_sets()
    sets = {name: drawn[name] for name in about["evaluators"]}
    interventions = tuple(each.resolved() for each in interventions)
    exemplars = load_exemplars(run.config.data.exemplars)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _only_writer(out):
        partial = out.with_name(out.name + ".partial")
        done = _finished_steps(partial, about)
        n_done = sum(step in done for step in wanted)
        with (
            open(partial, "a") as file,
            ProgressReport("measure", len(wanted), "checkpoints", done=n_done) as progress,
        ):
            for step in wanted:
                if step in done:
                    continue
                model = load_model(run, step)
                if replace_own:
                    model.interventions = ()
                with model.intervened(*interventions):
                    done[step] = _measure_model(model, chosen, exemplars, sets)
                file.write(json.dumps({"step": step, "rows": done[step]}) + "\n")
                file.flush()
                progress.advance()
        if description is not None:
            write_json(description, about | {"steps": wanted})
        write_text(out, _table(run, {step: done[step] for step in wanted}))
        partial.unlink()
    return about | {"steps": wanted}


def _measure_model(
    model: Model,
    measures: dict[str, Measure],
    exemplars: Exemplars,
    sets: dict[str, Sequences],
) -> list[Row]:
    """Return the rows of each measure of a model, on each evaluator's sequences."""
    rows: list[Row] = []
    for evaluator, sequences in sets.items():
        view = View(model, evaluator, exemplars, sequences)
        for name, measure in measures.items():
            start: Row = {"evaluator": evaluator, "measure": name}
            rows += [start | row for row in measure(view)]
    return rows


@contextmanager
def _only_writer(out: Path) -> Iterator[None]:
    """Lock a table for this process; when it is interrupted, say how to continue."""
    busy = UserError(f"{out}: another process is writing this table; wait until it ends")
    try:
        with hold(out.with_name(f".{out.name}.lock"), busy, remove=True):
            yield
    except KeyboardInterrupt as error:
        message = f"stopped; {out}.partial keeps finished steps; repeat the call to continue"
        raise Interrupted(message, signal.SIGINT) from error


def _check_choice(what: str, options: list[Any], chosen: Iterable[Any]) -> list[Any]:
    """Return the chosen values; one that is not an option, or none at all, raises `UsageError`."""
    chosen = list(chosen)
    last = f", the last {options[-1]}" if len(options) > 5 else ""
    advice = f"choose from {abbreviate(options, 5) or 'none'}{last}"
    if not chosen:
        raise UsageError(f"no {what} is given; {advice}")
    for each in chosen:
        if each not in options:
            raise UsageError(f"the run has no {what} {each}; {advice}")
    return chosen


def _finished_steps(partial: Path, about: dict[str, Any]) -> dict[int, list[Row]]:
    """Return the rows by step that an earlier call left; begin the file if there is none."""
    lines = []
    if partial.exists():
        for line in partial.read_text().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                break  # cut short by a crash
        if lines[:1] != [about]:
            raise UsageError(
                f"{partial} holds partial work on something else; remove it or choose another name"
            )
    # written again without a line that was cut short, so that what is appended begins a line
    write_text(partial, "".join(json.dumps(line) + "\n" for line in lines or [about]))
    return {line["step"]: line["rows"] for line in lines[1:]}


def _table(run: RunFolder, rows: dict[int, list[Row]]) -> str:
    run_id, sequences_per_step = run.config.run_id(), run.config.sequences_per_step
    return to_csv(
        {"run_id": run_id, "step": step, "sequences": step * sequences_per_step}
        | row
        | {"value": float(f"{row['value']:.6g}")}
        for step, of_step in rows.items()
        for row in of_step
    )
