"""The broker: it takes sealed messages in, queues them, hands them over and records what happened.

It cannot read them: nothing in this package opens a sealed document, and it imports nothing that could.
broker/DESIGN.md tells the walk of a message and what a crash at each step leaves behind.
"""
