"""Sweeps: plans of runs and measures, and the processes or Slurm jobs that run them.

plan       a graph of named nodes, each with the nodes that it needs
train      the nodes that train: runs, features of drawings, and a small encoder
measure    the nodes that measure runs, into tables
status     the status of every node, from disk
work       the work of a node, and the nodes that are left to do
local      processes of this machine
slurm      jobs of a Slurm cluster
report     rows that describe a plan, and the progress of a sweep
"""
