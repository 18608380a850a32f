"""The minimal model: its graph, presets, initial states, exact reduction, and symbols."""
