"""Named runs (presets) of the papers and of our own, and the plans that train and measure them.

Scale `paper` is what the papers state; `cpu` takes two cores minutes to some hours, with the
changes that each file states; `smoke` takes seconds and learns nothing.
"""
