from django.urls import path

from leaderboard.api import reference
from leaderboard.api.operations import api

urlpatterns = [
    path("docs", reference.page, name="api_docs"),
    path("", api.urls),
]
