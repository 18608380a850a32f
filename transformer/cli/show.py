"""Show how a run, or each of an ensemble, stands."""

from transformer.cli._runs import RunFlags as Flags
from transformer.cli._runs import print_standing


def run(flags: Flags) -> None:
    from transformer.runs.folder import load_runs

    print_standing(load_runs(flags.run), as_json=flags.json)
