"""What a verb of this room says instead of doing its work."""


class Refused(Exception):
    """The verb cannot be done now; the text is for whoever asked."""
