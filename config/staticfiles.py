"""Static files of a served arena: hashed names, also inside ES modules."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStaticFiles(CompressedManifestStaticFilesStorage):
    """A module's `import "./x.js"` is rewritten to the hashed name, so that it may be cached too."""

    support_js_module_import_aggregation = True
