"""The minimal model: declaration, presets, draws, exact reduction, symbols, definition."""
