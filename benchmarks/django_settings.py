"""The smallest Django that django-celery-results runs in."""

from sqlalchemy import make_url

from benchmarks.case import Case

_url = make_url(str(Case.here().django))

SECRET_KEY = "not a secret: nothing is served"
USE_TZ = True
INSTALLED_APPS = ["django_celery_results"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _url.database,
        "USER": _url.username,
        "HOST": _url.host,
        "PORT": _url.port,
    }
}
