"""Numbers of the paper that several figures show; events of its main runs are read off figure 7."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PaperRun:
    """Times of events in millions of sequences, and heights of peaks.

    Names are those of `Timeline`; the time of what has not happened yet is infinite.
    """

    emergence: float
    flip_peak: float
    flip_peak_at: float
    fade: float
    flip_10: float
    icl_peak: float
    icl_peak_at: float
    ciwl_75: float
    ciwl_90: float


PAPER_RUNS = {  # by the seeds of initial parameters and of data
    (5, 2): PaperRun(3.3, 0.71, 4.3, 6.3, 11.0, 0.88, 7.8, 6.7, 10.7),
    (5, 3): PaperRun(3.1, 0.67, 4.0, 5.7, 10.6, 0.86, 7.5, 6.2, 9.9),
    (5, 4): PaperRun(3.1, 0.69, 3.9, 5.9, 10.9, 0.88, 7.4, 6.4, 10.5),
    (6, 2): PaperRun(4.5, 0.78, 6.5, 10.0, 15.3, 0.90, 8.0, 9.4, 14.4),
    (6, 3): PaperRun(4.6, 0.75, 6.8, 10.1, 15.6, 0.89, 7.9, 9.4, 14.5),
    (7, 2): PaperRun(3.2, 0.84, 5.3, 10.9, 17.5, 0.91, 9.0, 9.7, 15.5),
}
SEED_5 = PAPER_RUNS[5, 2]  # of the main run in figures 1, 3, 5 and 14

FIGURE_1B = {  # of its seed 5: millions of sequences, accuracy
    "train": ((3.7, 0.75), (5.8, 0.90), (20, 0.977)),
    "icl": ((3.45, 0.60), (7.8, 0.892), (13.6, 0.60), (20, 0.61)),
    "ciwl": ((6.6, 0.75), (10.7, 0.90), (20, 0.969)),
    "flip": ((3.3, 0.5), (4.3, 0.713), (6.3, 0.5), (8.4, 0.25), (10.9, 0.10), (20, 0.034)),
}
SIZES = ("12800x20", "12800x5", "1600x20", "1600x5")  # of the data: classes x exemplars
