"""Tiny transformers that learn one strategy and then swap it for another.

config         what defines a run; its id is a hash of it
presets        runs by name: small ones, and those of both papers (experiments)
train          train, train_together, resume;  ensemble: many runs as one;  trainer: their state
runs           load_run: config, curves, checkpoints, evaluation sets;  listing: what there is
sequences      class sequences of every data mode;  evaluators: which strategy solves a sequence?
exemplars      glyphs, Omniglot, Gaussian, one-hot, feature files, token embeddings
model          the transformer as functions of named parameters;  positions, resnet, parts
learner        the training step;  optimisers: update rules
measure        metrics of sequences;  timeline: when ICL emerges, peaks and fades
bench          a step's time beside its floor;  forecast: what a run will take
export, tensorboard   curves for others
"""
