"""Exercises: a written scenario, played on one machine, for those who train contact points (recommendation 4).

Real clients exchange real messages over a broker in memory: sealed, signed, lent, acknowledged, each marked as an
exercise. Nothing leaves the machine, and no time passes but in the story.

Before this room: `valija.cli.exercise`. After it: `scenario`, `play`, `valija.testing`.
"""
