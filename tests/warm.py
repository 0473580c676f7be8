"""Imported once by the server that forks the processes of `faults`: what the first run loads, its forks have."""

from tiny_runs import events_of, tiny

for settings in ({}, {"method": "derpp"}):
    events_of(tiny(settings, epochs=1, tasks=1))
