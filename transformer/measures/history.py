"""Measures of a run's models over its training, as a table on disk that grows step by step."""

import json
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import Interrupted, UsageError, UserError, abbreviate
from coopetition.tools.files import check_writable, to_csv, write_text
from coopetition.tools.locks import hold
from transformer.config.interventions import Intervention
from transformer.config.plain import to_named_dict
from transformer.data.evaluators import evaluation_sets
from transformer.data.exemplar_sets import load_exemplars
from transformer.measures.of_models import MODEL_MEASURES, View, all_settings
from transformer.model.loaded import Model, load_model
from transformer.runs.folder import RunFolder


def spaced(steps: Iterable[int], share: float) -> list[int]:
    """Of rising steps the last, and those that come later by such a share than the one before."""
    kept, due, last = [], 0.0, None
    for last in steps:
        if last >= due:
            kept.append(last)
            due = last * (1 + share)
    return kept if last in (None, *kept[-1:]) else [*kept, last]


def history(
    run: RunFolder,
    measures: Sequence[str],
    out: Path,
    *,
    steps: Iterable[int] | None = None,
    evaluators: Sequence[str] | None = None,
    interventions: tuple[Intervention, ...] = (),
    replace_own: bool = False,
) -> dict[str, Any]:
    """Write the table of measures of a run's checkpoints, CSV, a row a reading.

    Finished steps lie in `OUT.partial`, a line a step, until all are done: to continue after an
    interruption, call it again, with other steps too.  Returns what the table is of.  A second
    process that writes the same table raises `UserError`.

    Parameters
    ----------
    measures : names of `MODEL_MEASURES`
    steps : of checkpoints; unless given all but those that an interruption left besides
    evaluators : names; all that the run has unless given
    interventions : what the models are measured under, beside what they were trained under
    replace_own : whether to leave out what they were trained under
    """
    if out.is_dir() or not out.name:
        raise UsageError(f"{out} is a folder; give a file")
    check_writable(out)
    if not measures:
        raise UsageError(f"no measures are given; choose of {', '.join(MODEL_MEASURES)}")
    there = [step for step in run.steps() if run.config.is_checkpoint(step)]
    wanted = _checked("step", there if steps is None else run.steps(), steps)
    sets = evaluation_sets(run)
    names = _checked("evaluator", list(sets), evaluators)
    of = {name: MODEL_MEASURES[name] for name in measures}
    interventions = tuple(each.resolved() for each in interventions)
    about = {
        "run_id": run.config.run_id(),
        "measures": list(of),
        "evaluators": names,
        "interventions": [to_named_dict(each, for_id=True) for each in interventions],
        **all_settings(measures),
        **({"replaces": True} if replace_own else {}),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        partial = out.with_name(out.name + ".partial")
        done = _done(partial, about)
        if not done:
            write_text(partial, json.dumps(about) + "\n")
        exemplars = load_exemplars(run.config.data.exemplars)
        left = [step for step in wanted if step not in done]
        n_done = len(wanted) - len(left)
        with (
            open(partial, "a") as file,
            ProgressReport("measure", len(wanted), "checkpoints", done=n_done) as bar,
        ):
            for step in left:
                model, rows = _model(run, step), []
                if replace_own:
                    model.interventions = ()
                with model.intervened(*interventions):
                    for name in names:
                        view = View(model, name, exemplars, sets[name])
                        rows += [
                            {"evaluator": name, "measure": measure} | asdict(reading)
                            for measure, function in of.items()
                            for reading in function(view)
                        ]
                done[step] = rows
                file.write(json.dumps({"step": step, "rows": rows}) + "\n")
                file.flush()
                bar.advance()
        write_text(out, _table(run, {step: done[step] for step in wanted}))
        partial.unlink()
    return about | {"steps": wanted}


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Be the only process that writes a table; say when stopped how to continue."""
    busy = UserError(f"{out}: another process is writing this table; wait until it ends")
    try:
        with hold(out.with_name(f".{out.name}.lock"), busy, remove=True):
            yield
    except KeyboardInterrupt as error:
        told = f"stopped; {out}.partial keeps what is measured; repeat the call to continue"
        raise Interrupted(told, signal.SIGINT) from error


def _model(run: RunFolder, step: int) -> Model:
    try:
        return load_model(run, step)
    except UserError as error:
        told = f"{error}; put it back, or give the steps without {step}: what is measured is kept"
        raise UserError(told) from error


def _checked(what: str, there: list[Any], wanted: Iterable[Any] | None) -> list[Any]:
    if wanted is None:
        return there
    wanted = list(wanted)
    if not wanted:
        raise UsageError(f"no {what} is given; choose of {abbreviate(there, 5) or 'none'}")
    if unknown := [each for each in wanted if each not in there]:
        last = f", the last {there[-1]}" if len(there) > 5 else ""
        raise UsageError(
            f"the run has no {what} {unknown[0]}; choose of {abbreviate(there, 5) or 'none'}{last}"
        )
    return wanted


def _done(partial: Path, about: dict[str, Any]) -> dict[int, list[dict[str, Any]]]:
    """Rows by step of what an earlier call left, if it was of the same."""
    if not partial.exists():
        return {}
    lines = []
    for line in partial.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break  # cut short by a crash
    if lines[:1] != [about]:
        raise UsageError(
            f"{partial} holds partial work on something else; remove it or choose another name"
        )
    content = "".join(json.dumps(line) + "\n" for line in lines)
    write_text(partial, content)  # so that what is appended begins a line
    return {line["step"]: line["rows"] for line in lines[1:]}


def _table(run: RunFolder, rows: dict[int, list[dict[str, Any]]]) -> str:
    run_id, each = run.config.run_id(), run.config.sequences_per_step
    return to_csv(
        {"run_id": run_id, "step": step, "sequences": step * each}
        | row
        | {"value": float(f"{row['value']:.6g}")}
        for step, of_step in rows.items()
        for row in of_step
    )
