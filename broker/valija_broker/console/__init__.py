"""The operators' console: what those who run the broker see in a browser, and propose there.

It has no key of anybody and signs nothing: operators do, on their own machines.

Before this room: `supervisor`. After it: `observe`, `orders`. Rules: schemas/SPEC.md section 5.5.
"""
