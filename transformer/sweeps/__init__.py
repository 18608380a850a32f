"""Plans of runs and measures, and what works them off.

plan       a graph of named nodes, each with what it needs
features   drawings as a frozen encoder sees them
train      a run, or runs that are trained together, from scratch or from another's checkpoint
measure    a measure of runs, as a table
standing   where every node stands, from what lies on disk
work       one node, in this process
pool       all nodes, by some processes of this machine
call       a sweep as it was called, and the command line that does one node of it
estimate   what a plan will take
report     a plan and how it stands, as rows
"""
