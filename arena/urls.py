from django.urls import path

from arena import image_views, views
from arena.consumers import BattleConsumer

app_name = "arena"
urlpatterns = [
    path("", views.new, name="new"),
    path("side-by-side/", views.side_by_side, name="side_by_side"),
    path("chat/", views.direct, name="direct"),
    path("history/", views.history, name="history"),
    path("terms/", views.terms, name="terms"),
    path("share/<str:share_id>/", views.shared, name="shared"),
    path("images/", image_views.upload, name="upload_image"),
    path("images/<str:public_id>/", image_views.show, name="image"),
    path("images/<str:public_id>/discard/", image_views.discard, name="discard_image"),
    path("battle/<str:public_id>/", views.battle, name="battle"),
    path("battle/<str:public_id>/vote/", views.vote, name="vote"),
    path("battle/<str:public_id>/skip/", views.skip, name="skip"),
    path("battle/<str:public_id>/share/", views.share, name="share"),
    path("battle/<str:public_id>/unshare/", views.revoke_share, name="revoke_share"),
    path("battle/<str:public_id>/<int:number>/<str:slot>.txt", views.raw, name="raw"),
    path("healthz", views.healthz, name="healthz"),
]
websocket_urlpatterns = [path("ws/battle/", BattleConsumer.as_asgi())]
