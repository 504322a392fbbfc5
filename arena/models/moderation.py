"""What texts are checked for, what follows, and what was found."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from arena.key_holder import KeyHolder


class ModerationProvider(models.TextChoices):
    NONE = "none", "None: texts are not checked"
    LIST = "list", "The terms of each category, below"
    ENDPOINT = "endpoint", "An OpenAI-compatible endpoint (/moderations)"


class ModerationAction(models.TextChoices):
    OFF = "off", "Off"
    LOG = "log", "Log: for the administrator alone"
    WARN = "warn", "Warn: tell the person, and go on"
    BLOCK = "block", "Block: a prompt is not sent, a battle is void"


class ModerationSettings(KeyHolder):
    """Who checks texts. One row, or none: nobody."""

    Provider = ModerationProvider
    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    provider = models.CharField(
        max_length=8, choices=ModerationProvider, default=ModerationProvider.NONE
    )
    base_url = models.CharField(
        "base URL", max_length=500, blank=True, help_text="For example https://api.openai.com/v1."
    )
    model = models.CharField(
        max_length=200, blank=True, help_text="Empty: the endpoint's own choice."
    )
    timeout = models.FloatField(
        default=5,
        validators=[MinValueValidator(0.1), MaxValueValidator(60)],
        help_text="Seconds that a check may take.",
    )
    fail_closed = models.BooleanField(
        "refuse when a check fails",
        default=False,
        help_text="On: what could not be checked is refused. Off: it goes on, with a line in the "
        "log.",
    )
    new_category_action = models.CharField(
        "action for categories not listed",
        max_length=5,
        choices=ModerationAction,
        default=ModerationAction.LOG,
        help_text="A category that the endpoint names for the first time is added with this.",
    )

    class Meta:
        verbose_name = verbose_name_plural = "moderation"
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="moderationsettings_only_one"),
            models.CheckConstraint(
                condition=Q(provider__in=ModerationProvider.values),
                name="moderationsettings_provider_known",
            ),
            models.CheckConstraint(
                condition=Q(new_category_action__in=ModerationAction.values),
                name="moderationsettings_action_known",
            ),
            models.CheckConstraint(
                condition=Q(timeout__gt=0), name="moderationsettings_timeout_positive"
            ),
            models.CheckConstraint(
                condition=~Q(provider="endpoint") | ~Q(base_url=""),
                name="moderationsettings_endpoint_has_an_address",
            ),
        ]

    def __str__(self) -> str:
        return "Moderation"

    @classmethod
    def current(cls) -> ModerationSettings:
        return cls.objects.filter(pk=1).first() or cls()


class ModerationCategory(models.Model):
    """One kind of text, and what follows when a text is of it."""

    Action = ModerationAction
    house = models.ForeignKey(
        ModerationSettings, on_delete=models.CASCADE, related_name="categories", editable=False
    )
    name = models.CharField(
        max_length=60, unique=True, help_text="As the provider calls it, for example violence."
    )
    title = models.CharField(
        max_length=60, blank=True, help_text="As people are told. Empty: the name."
    )
    action = models.CharField(max_length=5, choices=ModerationAction, default=ModerationAction.LOG)
    threshold = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="Of the endpoint's score, 0 to 1. Empty: the endpoint decides.",
    )
    terms = models.TextField(
        blank=True,
        help_text="One a line; whole words in any case. A line /…/ is a regular expression, one "
        "with # in front a remark.",
    )

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "moderation categories"
        constraints = [
            models.CheckConstraint(
                condition=Q(action__in=ModerationAction.values), name="moderationcategory_action"
            ),
            models.CheckConstraint(
                condition=Q(threshold__isnull=True) | Q(threshold__gte=0, threshold__lte=1),
                name="moderationcategory_threshold_is_a_share",
            ),
            models.CheckConstraint(condition=~Q(name=""), name="moderationcategory_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.title or self.name


class ModerationSubject(models.TextChoices):
    PROMPT = "prompt", "Prompt"
    ANSWER = "answer", "Answer"


class ModerationEvent(models.Model):
    """That a text was found to be of a category, or could not be checked. Never the text itself:
    where it was kept, the turn has it; a prompt that was blocked is nowhere."""

    Subject = ModerationSubject
    at = models.DateTimeField(default=timezone.now)
    subject = models.CharField(max_length=6, choices=ModerationSubject)
    turn = models.ForeignKey(
        "arena.Turn", on_delete=models.CASCADE, related_name="+", null=True, blank=True
    )
    slot = models.CharField(max_length=1, blank=True)
    category = models.CharField(max_length=60, blank=True, help_text="Empty: the check failed.")
    action = models.CharField(max_length=5, choices=ModerationAction)
    reason = models.CharField(
        max_length=300, blank=True, help_text="The line of the list, or the endpoint's score."
    )

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(subject__in=ModerationSubject.values),
                name="moderationevent_subject_known",
            ),
            models.CheckConstraint(
                condition=Q(action__in=["log", "warn", "block"]),
                name="moderationevent_action_known",
            ),
            models.CheckConstraint(
                condition=~Q(category="") | ~Q(reason=""), name="moderationevent_says_something"
            ),
        ]
        indexes = [models.Index(fields=["-at"], name="moderation_by_time")]

    def __str__(self) -> str:
        return f"{self.subject}: {self.category or 'not checked'}"
