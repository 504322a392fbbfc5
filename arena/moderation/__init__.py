"""Whether a text may pass: prompts before any model sees them, answers before anybody votes.

`terms` reads the administrator's own list, `arena.backends.moderations` the answer of an endpoint;
`checking` knows what follows from what they find.
"""
