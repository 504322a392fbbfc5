"""Static files of a served arena: hashed names, also inside our own ES modules."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStaticFiles(CompressedManifestStaticFilesStorage):
    """A module's `import "./x.js"` is rewritten to the hashed name, so that it may be cached too.

    Ours only: what looks like an import in somebody else's bundle may name no file at all, and
    collecting would fail.
    """

    _, _imports = CompressedManifestStaticFilesStorage._js_module_import_aggregation_patterns  # type: ignore[attr-defined]
    patterns = (*CompressedManifestStaticFilesStorage.patterns, ("arena/*.js", _imports))
