from django.urls import path

from arena import views
from arena.consumers import BattleConsumer

app_name = "arena"
urlpatterns = [
    path("", views.new, name="new"),
    path("battle/<str:public_id>/", views.battle, name="battle"),
    path("battle/<str:public_id>/vote/", views.vote, name="vote"),
    path("battle/<str:public_id>/skip/", views.skip, name="skip"),
    path("healthz", views.healthz, name="healthz"),
]
websocket_urlpatterns = [path("ws/battle/", BattleConsumer.as_asgi())]
