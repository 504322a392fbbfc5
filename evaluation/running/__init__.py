"""From what people ask of a run to its scores: rows, turns at an endpoint, judges, the sandbox."""
