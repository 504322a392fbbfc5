"""Votes into pair counts: exactly once in effect, whatever Redis, Celery or a kill -9 does.

A vote row says itself whether the counts hold it (`tallied`), so claiming rows, changing the
counts of every category the vote belongs to, and marking the rows is one transaction that either
happened or did not (`settling`). What a vote belongs to (`belonging`) follows from its stored
features, which never change (`vote_features`), and from the categories' rules, which may; hence the
one lock of this room. Some votes are refused (`refusals`); `checking` works it all out again.

The counting lock is the row of the overall category. Who settles votes shares it (any number at
once); who changes a rule, makes a category or rebuilds one (`leaderboard.categories`) has it
alone, for a moment. So while anybody settles, the rules stand still, and who reads the tallied
votes under the lock knows that the counts hold exactly those. SQLite has one writer, and a
transaction takes its place at BEGIN: there the lock is had by being in a transaction.

A category whose counts are being made anew (`stale`) holds the votes up to `rebuilt_through`, and
no others; settling a vote changes it only where the vote's id is not beyond that. What is beyond,
the rebuilding comes to.

Locks are taken in this order: votes, voters by their ids, the counting lock, pair counts by their
keys.
"""
