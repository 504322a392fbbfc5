"""The administration. Importing this registers every page of it."""

from django.contrib import admin

from arena.admin import battles, contestants, endpoints, moderation, money, sampler

__all__ = ["battles", "contestants", "endpoints", "moderation", "money", "sampler"]

admin.site.site_header = "Arena administration"
admin.site.site_title = "Arena"
admin.site.index_title = "Administration"
