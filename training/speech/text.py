"""What the training voices say: grammatical English made from word lists, and quoted classics.

The generated sentences were written for Furrow (grammar and words below), half of their words drawn
from CMU's pronouncing dictionary as PocketSphinx carries it (BSD), so that the network hears sounds
next to each other in every order. The held-out passages
are by Austen, Carroll, Conan Doyle, Melville, Stevenson and Wells, all long in the public domain;
none of them is ever trained on.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import numpy as np

_WORDS: dict[str, str] = {
    "name": "Bob Mary Peter Emma Pam Philip Vivian Tom Judy Walter Sheila George Bobby Margaret "
    "Paul Zoe Theo Martha Jim Olive Robert Faye Humphrey Abigail Wendy Oscar Ruth Yusuf Chloe Hugh",
    "person": "mother baker farmer teacher painter driver captain doctor neighbour postman girl "
    "boy woman man plumber pilot chef lawyer poet builder farmhand mayor nurse swimmer witness "
    "judge fisherman bishop author shopkeeper weaver thief youth member bride umpire",
    "adjective": "big purple old young warm blue smooth broken empty shiny heavy beautiful cheap "
    "funny brave rough thin thick quiet yellow famous simple wooden gloomy vivid huge pale measured "
    "round bitter lovely proper thirsty awful smooth mellow numb weird fresh joyful plain royal",
    "thing": "umbrella map bottle piano window garden lamp boat hammer pebble ship apple cupboard "
    "mirror basket bubble pump table photograph television treasure feather vase watch mushroom "
    "bridge jungle garage poem drum thumb leather cage shoe shovel movie camera kettle number "
    "pillow broom blueprint sofa trophy engine oven rope book puzzle jewel bath tooth wolf voyage",
    "verb": "bought painted lifted moved watched carried borrowed dropped fixed pushed measured "
    "described remembered chewed opened washed hid weighed found stole sold wrapped shaved broke "
    "polished noticed ignored photographed emptied covered squeezed threw juggled wove rubbed",
    "doing": "swimming jumping humming baking waiting shopping whispering mumbling fishing mopping "
    "laughing chewing rowing sweeping dreaming climbing shivering yawning arguing paving plowing",
    "place": "behind the barn|under the bridge|at the museum|by the river|near the church|in Boston"
    "|on the porch|above the workshop|in the bathroom|at the edge of the village|on a small island"
    "|beside the pump|in the empty theatre|across the valley|at home|in the middle of June"
    "|outside the post office|through the fog|beyond the woods|over the fence|up the path",
    "time": "yesterday|this morning|before breakfast|on Monday|last September|in the evening"
    "|for five months|at half past three|every Thursday|after the game|twice a week|long ago"
    "|just now|until midnight|all summer|by two o'clock|once upon a time|from time to time",
    "manner": "slowly|happily|by mistake|with both hands|without a map|as usual|quite badly"
    "|very well|for the first time|in vain|on purpose|with much pleasure|rather abruptly"
    "|step by step|in a hurry|bit by bit|with a smooth movement|for nothing|above all",
    "feeling": "happy|upset|bored|ashamed|proud|confused|amazed|hopeful|grumpy|worried|thrilled"
    "|fearful|perfectly calm|a bit puzzled|rather thoughtful|out of breath|impatient",
    "number": "two|five|seven|eleven|forty four|a hundred|about thirty|twelve|sixty five|a dozen"
    "|nine|three thousand|half a million|fifteen|one or two|some|many|very few",
    "reply": "Maybe|Of course|Probably not|Well|Oh my|Perhaps|Absolutely|Please|By the way|Hmm"
    "|Believe me|No problem|Nevertheless|For example|Yes|I am afraid|Above all|What a pity",
}
_SPLIT = {k: (v.split("|") if "|" in v else v.split()) for k, v in _WORDS.items()}

_GRAMMAR = (
    "The {person} {verb} the {adjective} {thing} {place}.",
    "{reply}, {name} {verb} my {thing} {time}.",
    "{name} and {name} were {doing} {place} {time}.",
    "Have you ever {verb} a {thing} {manner}?",
    "Why would the {adjective} {person} be {feeling}?",
    "My {person} is {feeling}, but {name} is not.",
    "{reply}, we have {number} {thing}s, and they are {adjective}.",
    "Put the {adjective} {thing} {place}, please!",
    "I {verb} {number} {thing}s {time}, and {name} {verb} the {thing}.",
    "She shows {name} how the {person} {verb} it {manner}.",
    "It was {feeling} people who {verb} the {adjective} {thing}.",
    "If you give me the {thing}, I will be {feeling}.",
    "{name}, you look {feeling} {time}.",
    "There is a {adjective} {thing} {place}, {reply}.",
    "Both of them {verb} the {thing} {manner}, {time}.",
    "Could the {person} move {number} {thing}s {place}?",
    "We believe that {name} {verb} everything {manner}.",
    "Where is the {adjective} {thing} that {name} {verb} {time}?",
    "They kept {doing} {place}, and the {person} kept {doing} {manner}.",
    "Do not mumble, {name}; open your mouth and say {adjective} {thing}.",
)

HELD_OUT = (
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, "
    "must be in want of a wife.",
    "However little known the feelings or views of such a man may be on his first entering a "
    "neighbourhood.",
    "My dear Mister Bennet, have you heard that Netherfield Park is let at last?",
    "Alice was beginning to get very tired of sitting by her sister on the bank.",
    "And what is the use of a book, thought Alice, without pictures or conversations?",
    "Oh my ears and whiskers, how late it's getting!",
    "Twas brillig, and the slithy toves did gyre and gimble in the wabe.",
    "All mimsy were the borogoves, and the mome raths outgrabe.",
    "Beware the Jabberwock, my son! The jaws that bite, the claws that catch!",
    "Call me Ishmael. Some years ago, having little or no money in my purse.",
    "I thought I would sail about a little and see the watery part of the world.",
    "Whenever I find myself growing grim about the mouth; whenever it is a damp, drizzly November "
    "in my soul.",
    "To Sherlock Holmes she is always the woman. I have seldom heard him mention her under any "
    "other name.",
    "You see, but you do not observe. The distinction is clear.",
    "When you have eliminated the impossible, whatever remains, however improbable, must be the "
    "truth.",
    "Fifteen men on the dead man's chest, yo ho ho, and a bottle of rum!",
    "I remember him as if it were yesterday, as he came plodding to the inn door.",
    "Squire Trelawney asked me to write down the whole particulars about Treasure Island.",
    "No one would have believed, in the last years of the nineteenth century, that this world was "
    "being watched.",
    "The chances of anything coming from Mars are a million to one, he said.",
    "The Time Traveller was expounding a recondite matter to us.",
    "Mister Sherlock Holmes, who was usually very late in the mornings, was seated at the "
    "breakfast table.",
    "Will you walk a little faster? said a whiting to a snail.",
    "Speak roughly to your little boy, and beat him when he sneezes.",
)  # fmt: skip
"""Sentences for evaluation only."""


_OPEN = frozenset(("name", "person", "adjective", "thing", "verb", "doing"))
"""Kinds of words that the dictionary may stand in for; the sentence then means little, but sounds."""


@functools.cache
def _dictionary() -> tuple[str, ...]:
    import pocketsphinx

    path = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
    words = (line.split(maxsplit=1)[0] for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(word for word in words if re.fullmatch("[a-z]{3,11}", word))


def sentences(count: int, seed: int) -> list[str]:
    """Return `count` generated sentences, the same for the same seed."""
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(count):
        text = str(rng.choice(_GRAMMAR))
        while "{" in text:
            start, end = text.index("{"), text.index("}")
            kind = text[start + 1 : end]
            words = _dictionary() if kind in _OPEN and rng.random() < 0.5 else _SPLIT[kind]
            word = str(words[rng.integers(len(words))])
            text = text[:start] + word + text[end + 1 :]
        lines.append(text[0].upper() + text[1:])
    return lines
