"""The papers' runs as named presets, each at two scales.

`paper` is what the papers state; `cpu` is what two cores can do in minutes to some hours, with the
changes that each file states.
"""
