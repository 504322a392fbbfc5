from channels.auth import AuthMiddlewareStack
from django.urls import path

from evaluation.pages import exchange_views, staff_views, views
from evaluation.pages.consumers import RunConsumer

app_name = "evaluation"
urlpatterns = [
    path("", views.index, name="index"),
    path("compare/", views.compare, name="compare"),
    path("runs/<int:pk>/", views.run, name="run"),
    path("runs/<int:pk>/samples/", views.samples, name="samples"),
    path("runs/<int:pk>/results.json", exchange_views.results, name="results_file"),
    path("runs/<int:pk>/samples.jsonl", exchange_views.samples, name="samples_file"),
    path("runs/<int:pk>/change/", staff_views.change, name="change"),
    path("staff/", staff_views.overview, name="staff"),
    # Last: a task's name may hold a slash.
    path("<path:slug>/", views.task, name="task"),
]
websocket_urlpatterns = [
    path("ws/benchmarks/<int:pk>/", AuthMiddlewareStack(RunConsumer.as_asgi()))
]
