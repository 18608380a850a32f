"""The papers' runs as named presets, each at three scales, and as plans; small runs.

`paper` is what the papers state; `cpu` is what two cores can do in minutes to some hours, with the
changes that each file states; `smoke` takes seconds and learns nothing.
"""
