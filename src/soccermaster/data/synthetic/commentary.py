"""Comments on acted events: small seeded grammars.

Comments are anonymised as in the released clip lists ([PLAYER], [TEAM]) and name what can be seen:
the class, the side of the pitch ("left", "right") and the outcome.
"""

from __future__ import annotations

import re

import numpy as np

from soccermaster.data.synthetic.events import Story

#: Sentences by event; `{name}` is replaced by a rule of `_RULES`, or by the story's own words.
_SENTENCES: dict[str, tuple[str, ...]] = {
    "goal": (
        "Goal! {scorer} {finishes} {distance} into the goal on the {side}. {cheer}",
        "{scorer} {finishes} {distance} and the ball is in the net at the {side} end. {cheer}",
    ),
    "corner": (
        "{scorer} {swings} the corner from the {side} into the box, {corner_end}",
        "A corner from the {side} for [TEAM]. [PLAYER] {swings} it in, {corner_end}",
    ),
    "substitution": (
        "Substitution. [PLAYER] {leaves}, [PLAYER] ([TEAM]) comes on at the {touchline} touchline.",
        "[PLAYER] ([TEAM]) {leaves}, replaced by [PLAYER] at the {touchline} touchline.",
    ),
    "start of half game": (
        "The {outcome} half gets under way, [TEAM] kick off.",
        "[REFEREE] blows his whistle and [TEAM] start the {outcome} half from the {side}.",
    ),
    "throw in": (
        "{scorer} takes the throw-in {wing} on the {touchline} touchline.",
        "Throw-in for [TEAM] {wing}. [PLAYER] {throws} from the {touchline} touchline.",
    ),
    "free kick": (
        "{scorer} {steps} the free kick at the {side} end, {free_kick_end}",
        "Free kick for [TEAM] in front of the box on the {side}. [PLAYER] hits it, {free_kick_end}",
    ),
    "penalty": (
        "{scorer} {steps} the penalty at the {side} end, {penalty_end}",
        "Penalty to [TEAM] on the {side}! [PLAYER] runs up, {penalty_end}",
    ),
    "injury": (
        "[PLAYER] ([TEAM]) {hurt} in the {side} half. {injury_end}",
        "Play is stopped because [PLAYER] {hurt} in the {side} half. {injury_end}",
    ),
    "shot off target": (
        "{scorer} {finishes} {distance}, but the ball flies {wide} the goal on the {side}.",
        "A shot {distance} by {scorer} goes {wide} the {side} goal.",
    ),
    "saved by goal-keeper": (
        "{scorer} {finishes} {distance}, but the goalkeeper {saves} at the {side} end.",
        "The goalkeeper {saves} after a shot {distance} by {scorer} on the {side}.",
    ),
    "ball possession": (
        "[TEAM] {keep} in the {side} half.",
        "[TEAM] {keep} and look for an opening from the {side}.",
    ),
}

#: Alternatives by rule name; a rule with an outcome is looked up as "name:outcome" first.
_RULES: dict[str, tuple[str, ...]] = {
    "scorer": ("[PLAYER] ([TEAM])",),
    "finishes": ("shoots", "strikes the ball", "fires", "pulls the trigger"),
    "distance:near": ("from close range", "from inside the box"),
    "distance:far": ("from outside the box", "from long distance"),
    "cheer": ("[TEAM] celebrate.", "His teammates run to him.", "What a moment for [TEAM]!"),
    "swings": ("swings", "whips", "sends", "lifts"),
    "corner_end:cleared": ("but the defence clears.", "but a defender heads the ball away."),
    "corner_end:caught": ("but the goalkeeper catches it.", "straight to the goalkeeper."),
    "corner_end:wide": ("and the header goes wide.", "but the header misses the target."),
    "leaves": ("leaves the pitch", "makes way", "walks off"),
    "touchline:near": ("near",),
    "touchline:far": ("far",),
    "throws": ("throws the ball in", "finds a teammate"),
    "wing": ("on the {side}", "in the {side} half"),
    "steps": ("takes", "steps up for", "stands over"),
    "free_kick_end:scored": ("and it goes over the wall into the net!", "and he scores!"),
    "free_kick_end:saved": ("but the goalkeeper saves.", "but the keeper gets there."),
    "free_kick_end:over": ("but it goes over the bar.", "but he misses the target."),
    "free_kick_end:cleared": ("but the cross is cleared.", "but the defence is alert."),
    "penalty_end:scored": ("and he scores!", "and sends the ball into the net."),
    "penalty_end:saved": ("but the goalkeeper saves it!", "but the keeper guesses right."),
    "penalty_end:missed": ("but he misses the target!", "but he puts it over the bar."),
    "hurt": ("stays down", "is lying on the ground", "is injured"),
    "injury_end:treatment": ("The physios run onto the pitch.", "He needs medical treatment."),
    "injury_end:continues": ("He should be able to go on.", "It looks like he can continue."),
    "wide": ("over", "past", "wide of"),
    "saves": ("makes the save", "saves", "keeps the ball out"),
    "keep": ("keep the ball", "pass the ball around", "are in possession"),
}


def comment(story: Story, rng: np.random.Generator) -> str:
    """One anonymised comment on an acted event.

    Raises:
        KeyError: there are no sentences for the event.
    """
    if story.event not in _SENTENCES:
        raise KeyError(f"no sentences for the event {story.event!r}. Add some to _SENTENCES.")
    text = _pick(_SENTENCES[story.event], rng)
    words = {"side": story.side, "outcome": story.outcome}

    def expand(match: re.Match[str]) -> str:
        name = match[1]
        if name in words:
            return words[name]
        choices = _RULES.get(f"{name}:{story.outcome}") or _RULES[name]
        return _pick(choices, rng)

    while "{" in text:
        text = re.sub(r"\{(\w+)\}", expand, text)
    return text


def _pick(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def phrases() -> list[str]:
    """Every sentence pattern and alternative of the grammars, without the rule names."""
    patterns = (p for table in (_SENTENCES, _RULES) for options in table.values() for p in options)
    return [" ".join(re.sub(r"\{\w+\}", " ", pattern).split()) for pattern in patterns]
