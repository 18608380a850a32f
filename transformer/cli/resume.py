"""Go on with a stopped run, bit for bit as if it had not stopped, or train a run further.

It goes on from its newest sound checkpoint.
"""

from dataclasses import dataclass

from transformer.cli._runs import MovedRunFlags, print_ends


@dataclass(frozen=True, kw_only=True)
class Flags(MovedRunFlags):
    n_steps: int | None = None
    """Move the run's end, for example to train a finished run further."""


def run(flags: Flags) -> None:
    from transformer.runs.loop import resume

    print_ends(
        lambda: resume(flags.run, n_steps=flags.n_steps, **flags.place()), as_json=flags.json
    )
