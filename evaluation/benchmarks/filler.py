"""Text to hide a needle in, as much of it as is asked for: made here, so it is nobody's.

Plain sentences about small things of a village, put together from parts. No two pages are the same,
nothing in it is a number or a key, and none of it is worth remembering. Licence: CC0-1.0.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

_PEOPLE = (
    "the baker", "the ferryman", "the old gardener", "a carpenter from the next valley",
    "the schoolteacher", "the clockmaker", "a visiting painter", "the miller", "the postmistress",
    "the beekeeper", "the choir's youngest singer", "the harbour master", "a retired surveyor",
    "the librarian", "the shepherd", "the blacksmith's daughter", "the cook at the inn",
    "a travelling piano tuner", "the apprentice", "the night watchman",
)  # fmt: skip
_PLACES = (
    "behind the mill", "on the square", "at the end of the pier", "under the lime trees",
    "in the reading room", "beside the chapel", "along the river path", "in the long barn",
    "near the station", "on the south slope", "at the edge of the wood", "in the courtyard",
    "by the lock", "above the bakery", "in the greenhouse", "at the crossroads",
)  # fmt: skip
_TIMES = (
    "Every morning", "On most evenings", "After the first frost", "Before the market opens",
    "In the weeks of rain", "Late in the summer", "When the wind turns",
    "Towards the end of spring",
    "On quiet afternoons", "Once the hay is in", "During the harvest", "At the turn of the year",
    "While the river is low", "As soon as the snow melts", "Between two storms",
)  # fmt: skip
_DEEDS = (
    "mends what the winter has broken", "sorts letters that nobody has collected",
    "talks about the colour of the water", "keeps a list of birds that pass through",
    "waters the beans and leaves again", "repairs the same gate with great patience",
    "reads aloud to whoever will sit down", "paints the shutters in a slightly different green",
    "carries apples from one cellar to another", "looks for a spoon that was lost years ago",
    "tunes an instrument that few people play", "measures the shadow of the tower",
    "bakes a loaf for the neighbours", "sweeps leaves into a heap that the wind undoes",
    "explains how the bell used to sound", "oils the hinges and tries each door",
    "copies an old map by hand", "feeds a cat that belongs to everybody",
    "stacks firewood by its age", "waits for the boat without much hope",
)  # fmt: skip
_REASONS = (
    "because it has always been done that way", "although nobody has asked for it",
    "since there is little else to do", "so that the children may learn it",
    "as the almanac recommends", "and is thanked with a jar of honey",
    "while others shake their heads", "and thinks nothing of it", "which pleases the mayor",
    "to the surprise of the visitors", "and tells the story again at supper",
    "though the result is hard to see",
)  # fmt: skip
_THINGS = (
    "The road to the ford", "The smell of wet straw", "A blue cart without wheels",
    "The oldest pear tree", "The roof of the granary", "An unfinished fence",
    "The inn's best table",
    "The sound of the sawmill", "A row of empty jars", "The sign above the shop", "The stone bench",
    "The ferry's rope", "A wardrobe nobody opens", "The path through the reeds",
)  # fmt: skip
_REMARKS = (
    "has been the same for as long as anyone can say", "is mentioned in several songs",
    "looks larger in the fog", "was once the subject of a long quarrel",
    "needs a coat of paint", "is what travellers remember first", "has outlived three owners",
    "is best seen from the bridge", "would be missed more than people admit",
    "changes with the weather", "is left alone out of respect", "gives the street its name",
    "is said to bring fair weather", "was moved a little to the left and then back",
)  # fmt: skip
_SAYINGS = (
    "Nobody minds", "It is a small matter", "There is no hurry", "Opinions differ on this",
    "Guests are welcome to help", "The dog sleeps through all of it",
    "It takes as long as it takes",
    "A second pair of hands would do no harm", "The tools are put back in their places",
    "Tea is poured and the talk moves on", "Somebody always knows a better way",
    "The light is good at that hour", "In the end it is done", "The neighbours have seen it before",
)  # fmt: skip


def sentences(seed: int) -> Iterator[str]:
    """Without end; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - filler
    while True:
        kind = chance.randrange(4)
        person, place = chance.choice(_PEOPLE), chance.choice(_PLACES)
        if kind == 0:
            yield f"{chance.choice(_TIMES)} {person} {chance.choice(_DEEDS)} {place}."
        elif kind == 1:
            deed, reason = chance.choice(_DEEDS), chance.choice(_REASONS)
            yield f"{person[0].upper()}{person[1:]} {deed}, {reason}."
        elif kind == 2:
            yield f"{chance.choice(_THINGS)} {place} {chance.choice(_REMARKS)}."
        else:
            yield f"{chance.choice(_SAYINGS)}."


def text(characters: int, *, seed: int) -> str:
    """At least so many characters."""
    written: list[str] = []
    for sentence in sentences(seed):
        written.append(sentence)
        characters -= len(sentence) + 1
        if characters < 0:
            break
    return " ".join(written)
