import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from arena.models import Endpoint, ModerationSettings
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def keys(settings):
    """Three keys; the first of them wrote what is stored."""
    made = [Fernet.generate_key().decode() for _ in range(3)]
    settings.ENCRYPTION_KEYS = made[:1]
    return made


def api_key(endpoint):
    return Endpoint.objects.get(pk=endpoint.pk).target().api_key


def test_after_a_rotation_the_old_key_can_go(keys, settings):
    endpoint, keyless = factories.endpoint(api_key="sk-secret-of-somebody"), factories.endpoint()
    settings.ENCRYPTION_KEYS = [keys[1], keys[0]]
    call_command("rotate_api_keys")
    settings.ENCRYPTION_KEYS = [keys[1]]
    assert api_key(endpoint) == "sk-secret-of-somebody"
    assert api_key(keyless) == ""


def test_the_key_of_moderation_is_rotated_as_well(keys, settings):
    house = ModerationSettings()
    house.set_api_key("sk-moderation-secret")
    house.save()
    settings.ENCRYPTION_KEYS = [keys[1], keys[0]]
    call_command("rotate_api_keys")
    settings.ENCRYPTION_KEYS = [keys[1]]
    assert ModerationSettings.objects.get().api_key() == "sk-moderation-secret"


def test_an_unreadable_key_is_named_and_keeps_no_other_back(keys, settings):
    lost = factories.endpoint(name="lost", api_key="sk-lost")
    settings.ENCRYPTION_KEYS = [keys[1]]
    kept = factories.endpoint(name="kept", api_key="sk-kept")
    settings.ENCRYPTION_KEYS = [keys[2], keys[1]]
    with pytest.raises(CommandError, match="opens the API key of: lost"):
        call_command("rotate_api_keys")
    settings.ENCRYPTION_KEYS = [keys[2]]
    assert api_key(kept) == "sk-kept"
    settings.ENCRYPTION_KEYS = [keys[0]]
    assert api_key(lost) == "sk-lost"
