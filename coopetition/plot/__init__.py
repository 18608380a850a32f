"""Plots of results.  Each takes `ax` and returns it; without one, pyplot makes and shows a figure.

style         colours and names by strategy, new axes, saving
trajectories  losses and state of a solution
phases        fates over two parameters
fits          measured curves, and the model fitted to them

Results are taken by their fields alone, so that they can offer `plot()` themselves.
"""
