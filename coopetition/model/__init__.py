"""The minimal model: graph, presets, initial states, exact reduction, symbols.  Two noisy cues."""
