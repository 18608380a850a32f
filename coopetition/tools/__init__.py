"""Tools that all packages use: command lines, console, files, errors, compiled code."""
