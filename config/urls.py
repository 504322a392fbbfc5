from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("benchmarks/", include("evaluation.urls")),
    path("leaderboard/", include("leaderboard.urls")),
    path("api/v1/", include("leaderboard.api.urls")),
    path("", include("arena.urls")),
]
