from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from arena import keys
from arena.keys import KeyUnreadable
from arena.models import Endpoint
from tests import factories

SECRET = "sk-0123456789abcdef"
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_sealed_can_be_opened(plain):
    assert keys.decrypt(keys.encrypt(plain)) == plain


def test_the_sealed_text_does_not_show_the_key():
    sealed = keys.encrypt(SECRET)
    assert SECRET not in sealed
    assert sealed != keys.encrypt(SECRET)  # equal keys cannot be told by looking


def test_no_key_is_no_ciphertext():
    assert keys.encrypt("") == keys.decrypt("") == keys.rotate("") == ""


def test_an_old_encryption_key_still_opens_while_it_is_listed(settings):
    settings.ENCRYPTION_KEYS = [OLD]
    sealed = keys.encrypt(SECRET)
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert keys.decrypt(sealed) == SECRET


def test_after_rotation_the_old_encryption_key_is_not_needed(settings):
    settings.ENCRYPTION_KEYS = [OLD]
    sealed = keys.encrypt(SECRET)
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    rotated = keys.rotate(sealed)
    settings.ENCRYPTION_KEYS = [NEW]
    assert keys.decrypt(rotated) == SECRET
    with pytest.raises(KeyUnreadable):
        keys.decrypt(sealed)


@pytest.mark.parametrize("read", [keys.decrypt, keys.rotate])
@pytest.mark.parametrize("damage", [lambda s: s[:-4], lambda s: "x" + s, lambda s: "nonsense"])
def test_a_damaged_or_foreign_value_says_what_to_do(read, damage):
    with pytest.raises(KeyUnreadable, match="ENCRYPTION_KEYS") as unreadable:
        read(damage(keys.encrypt(SECRET)))
    assert SECRET not in str(unreadable.value)


@pytest.mark.django_db
def test_a_copied_database_without_the_encryption_key_gives_no_api_key(settings):
    endpoint = factories.endpoint(api_key=SECRET)
    settings.ENCRYPTION_KEYS = [NEW]  # as on another machine
    with pytest.raises(KeyUnreadable):
        Endpoint.objects.get(pk=endpoint.pk).target()
    assert SECRET not in str(Endpoint.objects.values().get(pk=endpoint.pk))
