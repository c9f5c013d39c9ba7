"""News, by django-eventstream."""

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY="an example's",
    ALLOWED_HOSTS=["127.0.0.1"],
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django_eventstream"],
)
app = get_asgi_application()


def send(request: HttpRequest) -> HttpResponse:
    from django_eventstream import send_event  # which looks at the settings

    send_event("news", "news", {"text": request.body.decode()})
    return HttpResponse("sent\n")


urlpatterns = [
    path("stream", include("django_eventstream.urls"), {"channels": ["news"]}),
    path("send", send),
]
