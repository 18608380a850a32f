"""A drawing of sequences from the sampler, for schematics.

Exemplars are drawn glyphs, so that nothing has to be downloaded; classes are labelled by letters.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from coopetition.plot.style import COLOURS, label_of
from paper_figures.core.figure import Numbers
from transformer.config import DataConfig
from transformer.config.evaluators import EVALUATORS
from transformer.data.drawings import SIDE
from transformer.data.exemplars.glyphs import GlyphConfig, draw_glyphs
from transformer.data.sequences import Pool, draw_sequences

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWX"
FRAME = {"edgecolor": "lightgrey", "linewidth": 0.5}


def draw_task_sequences(
    ax: Axes, panel: str, data: DataConfig, evaluators: Sequence[str], *, n_exemplars: int
) -> Numbers:
    """Draw a sequence of each evaluator: exemplars, labels, and the right answer.

    n_exemplars : of a class of glyphs, enough for a sequence without repeats
    """
    glyphs = GlyphConfig(n_classes=len(LETTERS), n_exemplars=n_exemplars, seed=3)
    pictures = draw_glyphs(glyphs).reshape(-1, SIDE, SIDE)
    pool = Pool(glyphs.n_classes, n_exemplars, n_exemplars)
    zoom = 0.6 * (2 / data.context) ** 0.5  # of a drawing of 28 pixels
    numbers: Numbers = []
    for row, name in enumerate(evaluators):
        own = EVALUATORS[name].data(replace(data, exemplars=glyphs))
        sequence = draw_sequences(np.random.default_rng(5), pool, own, 1)
        exemplars, labels = sequence.exemplars[:, 0].tolist(), sequence.labels[:, 0].tolist()
        y = -row
        for k, exemplar in enumerate(exemplars):
            image = OffsetImage(pictures[exemplar], cmap="Greys", zoom=zoom)
            ax.add_artist(AnnotationBbox(image, (2 * k, y), pad=0.1, bboxprops=FRAME))
            letter = LETTERS[exemplar // n_exemplars]
            ax.annotate(
                letter, (2 * k - 0.75, y - 0.3), ha="center", va="center", color="grey", fontsize=5
            )
            numbers.append((panel, f"{name}, exemplar of class", float(2 * k), float(exemplar)))
        texts = LETTERS if name != "icl" else "01"
        for k, label in enumerate(labels):
            ax.annotate(texts[label], (2 * k + 1, y), ha="center", va="center", fontsize=9)
            numbers.append((panel, f"{name}, label", float(2 * k + 1), float(label)))
        target = int(sequence.target[0])
        answer = f"? = {texts[target]}"
        ax.annotate(answer, (2 * len(labels) + 1.2, y), ha="center", va="center", fontsize=9)
        ax.annotate(
            label_of(name).split()[0], (-1.6, y), ha="center", va="center", color=COLOURS[name]
        )
        numbers.append((panel, f"{name}, right", float(2 * len(labels) + 1), float(target)))
    ax.set(xlim=(-2.4, 2 * data.context + 2.2), ylim=(-len(evaluators) + 0.4, 0.6))
    ax.set_axis_off()
    ax.set_title(f"{panel}  one sequence each (grey: its class)")
    return numbers
