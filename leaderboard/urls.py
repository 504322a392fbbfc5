from django.urls import path

from leaderboard import staff_views, views
from leaderboard.board import files

app_name = "leaderboard"
urlpatterns = [
    path("", views.board, name="board"),
    path("charts/", views.all_charts, name="charts"),
    path("charts/<slug:name>.svg", views.chart_file, {"kind": "svg"}, name="chart_svg"),
    path("charts/<slug:name>.csv", views.chart_file, {"kind": "csv"}, name="chart_csv"),
    path("models/<slug:slug>/", views.model, name="model"),
    path("compare/", views.compare, name="compare"),
    path("families/", views.families, name="families"),
    path("method/", views.method, name="method"),
    path("sampling/", views.sampling_rates, name="sampling"),
    path("sampling.csv", views.sampling_file, name="sampling_csv"),
    *(
        path(f"export.{kind}", files.export, {"kind": kind}, name=f"export_{kind}")
        for kind in ("csv", "json", "parquet")
    ),
    path("staff/import/", staff_views.imports, name="staff_imports"),
    path("staff/import/<int:pk>/", staff_views.import_run, name="staff_import"),
    path("staff/export/", staff_views.exports, name="staff_exports"),
]
