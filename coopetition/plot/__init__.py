"""Plots of results.

style   colours and names by strategy, new axes, saving
toy     losses and state of a solution; phase diagrams
fits    measured curves, fitted theories, profiles, forecasts
report  pages with text and pictures

Each function takes `ax` and returns it; without one, pyplot makes and shows a figure.  Results are
used only through their attributes, so that they can offer `plot()` themselves.
"""
