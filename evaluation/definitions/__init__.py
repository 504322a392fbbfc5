"""Task definitions: what is asked of a model, with which examples, and how the answer is read.

The declarative part of lm-evaluation-harness's task files, under its names and with its defaults,
so that its public task files can be imported. What they can do beyond that, running Python or
comparing log-likelihoods, is refused with its name. Nothing here knows Django.
"""
