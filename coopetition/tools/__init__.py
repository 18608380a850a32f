"""What all three packages use: errors, files, progress, the command line, the metrics file."""
