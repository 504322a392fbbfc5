"""HTTP: images of questions come, are shown to their owner, and go."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.http import content_disposition_header
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET, require_POST

from arena import attachments, images, voters
from arena.models import Attachment
from arena.refusals import Refused

STATUS = {"no_cookie": 403, "image_too_large": 413, "images_busy": 503, "no_vision": 409}


@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    """One file, `image`, of a multipart form. Answers JSON: where the picture is, or why not."""
    try:
        key = voters.key_from(request.COOKIES)
        if key is None:
            raise Refused("no_cookie", "Please allow cookies for this site and reload the page.")
        file = request.FILES.get("image")
        if file is None:
            raise Refused("no_image", "Choose an image first.")
        # One byte more than may be is enough to be refused by.
        data = file.read(images.MAX_BYTES + 1)
        made = attachments.upload(voter=voters.ensure(key), data=data)
    except Refused as error:
        body = {"error": {"code": error.code, "message": error.message}}
        return JsonResponse(body, status=STATUS.get(error.code, 400))
    [shown] = attachments.on_page([made.attachment])
    note = "Of an animation only the first picture is sent." if made.was_animated else ""
    return JsonResponse({**shown, "note": note}, status=201)


def _visible(request: HttpRequest, public_id: str) -> Attachment:
    """The owner's, or to an administrator who may read conversations. Others learn nothing."""
    found = Attachment.objects.filter(public_id=public_id)
    if not request.user.has_perm("arena.view_turn"):
        found = found.filter(voter=voters.find(request.COOKIES))
    if (attachment := found.first()) is None:
        raise Http404("There is no such image, or it belongs to somebody else.")
    return attachment


@require_GET
@cache_control(private=True, immutable=True, max_age=3600)
def show(request: HttpRequest, public_id: str) -> HttpResponse:
    attachment = _visible(request, public_id)
    try:
        data = attachments.read(attachment)
    except Refused as error:
        raise Http404(error.message) from None
    name = f"image.{images.EXTENSIONS[attachment.content_type]}"
    return HttpResponse(
        data,
        content_type=attachment.content_type,
        headers={
            "Content-Disposition": content_disposition_header(False, name),
            # Whatever a browser may take it for, it is to be nothing but a picture.
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        },
    )


@require_POST
def discard(request: HttpRequest, public_id: str) -> HttpResponse:
    voter = voters.find(request.COOKIES)
    if voter is not None:
        attachments.discard(voter=voter, public_id=public_id)
    return HttpResponse(status=204)
