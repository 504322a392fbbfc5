"""The public API, version 1: /api/v1/. GET only, no cookie, no account.

`schemas` says what is sent, `operations` answers, `edge` is what holds for every answer alike
(cross-origin reads, errors in JSON), `reference` is its page for people.
"""
