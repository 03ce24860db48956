"""Comments on acted events: small seeded grammars.

Comments are anonymised as in the released clip lists ([PLAYER], [TEAM]) and say what can be seen:
the class, the side of the pitch ("left", "right"), its near or far flank, the outcome, the part of
the body and the tempo.
"""

from __future__ import annotations

import re

import numpy as np

from soccermaster.data.synthetic.story import Story

#: Sentences by event; `{name}` is replaced by a rule of `_RULES`, or by the story's own words.
_SENTENCES: dict[str, tuple[str, ...]] = {
    "var": (
        "[REFEREE] goes to the monitor on the {flank} touchline to look at the incident in the "
        "{side} box. {var_end}",
        "VAR check for a foul in the {side} box. [REFEREE] watches the screen on the {flank} side. "
        "{var_end}",
    ),
    "end of half game": (
        "[REFEREE] ends the half with the ball in the {side} half {pace}. {end_end}",
        "[TEAM] have the ball in the {side} half {pace}, and that is the end of the half. "
        "{end_end}",
    ),
    "clearance": (
        "[PLAYER] ([TEAM]) clears {cleared} in front of the {side} goal after {pressure} "
        "on the {flank} side. {clearance_end}",
        "{Pressure} from the {flank} side, but [PLAYER] gets the ball away from the {side} box "
        "{cleared}. {clearance_end}",
    ),
    "second yellow card": (
        "A second yellow card for [PLAYER] ([TEAM]) {depth} the {side} half on the {flank} side! "
        "{sent_off}",
        "[PLAYER] sees yellow and then red after a foul {depth} the {side} half on the "
        "{flank} side. {sent_off}",
    ),
    "injury": (
        "[PLAYER] ([TEAM]) {hurt} {depth} the {side} half on the {flank} side. {injury_end}",
        "Play is stopped because [PLAYER] {hurt} on the {flank} side, {depth} the {side} half. "
        "{injury_end}",
    ),
    "ball possession": (
        "[TEAM] {keep} {possession} in the {side} half on the {flank} side.",
        "[TEAM] {keep} on the {flank} side of the {side} half {possession}.",
    ),
    "throw in": (
        "{scorer} takes the throw-in {depth} the {side} half on the {flank} touchline {throw_end}.",
        "Throw-in for [TEAM] {depth} the {side} half. [PLAYER] throws from the {flank} touchline "
        "{throw_end}.",
    ),
    "show added time": (
        "The fourth official on the {flank} touchline shows {minutes} while [TEAM] play on {pace} "
        "in the {side} half.",
        "{Minutes}, the board on the {flank} side says. [TEAM] play on {pace} in the {side} half.",
    ),
    "shot off target": (
        "{scorer} {finishes} {reach} {build}, but the ball flies {missed} the {side} goal.",
        "{Build}, a {shot} {reach} by {scorer} goes {missed} the {side} goal.",
    ),
    "start of half game": (
        "The half gets under way, [TEAM] kick off in the {side} half and {kick_off} {flank} side.",
        "[REFEREE] blows his whistle, [TEAM] start from the {side} and {kick_off} {flank} side.",
    ),
    "substitution": (
        "{Change} for [TEAM] at the {flank} touchline, [PLAYER] {leaves} on the {side}.",
        "[PLAYER] ([TEAM]) {leaves} on the {side} of the halfway line at the {flank} touchline, "
        "{change}.",
    ),
    "saved by goal-keeper": (
        "{scorer} {finishes} {reach} {build}, but the goalkeeper {saves} at the {side} end.",
        "{Build}, the goalkeeper {saves} after a {shot} {reach} by {scorer} at the {side} goal.",
    ),
    "red card": (
        "A straight red card for [PLAYER] ([TEAM]) {depth} the {side} half on the {flank} side! "
        "{sent_off} {red_end}",
        "Trouble on the {flank} side {depth} the {side} half, and [REFEREE] shows [PLAYER] the red "
        "card. {sent_off} {red_end}",
    ),
    "lead to corner": (
        "{move}, [PLAYER] ([TEAM]) {corner_won} on the {side}. Corner from the {flank} side.",
        "Corner for [TEAM] from the {flank} side at the {side} end, {move}: [PLAYER] {corner_won}.",
    ),
    "ball out of play": (
        "The ball goes out over the {flank} touchline {depth} the {side} half {play} by [TEAM].",
        "{Play} by [TEAM], the ball runs out of play on the {flank} side {depth} the {side} half.",
    ),
    "off side": (
        "Offside! The flag is up on the {flank} touchline, [PLAYER] ([TEAM]) was too early at the "
        "{side} end {move}.",
        "{Move}, {scorer} is caught offside on the {side}, the assistant on the {flank} side "
        "flags.",
    ),
    "goal": (
        "Goal! {scorer} {finishes} {reach} into the {side} goal {build}. {cheer}",
        "{Build}, {scorer} {finishes} {reach} and the ball is in the net at the {side} end. "
        "{cheer}",
    ),
    "penalty": (
        "{scorer} {steps} the penalty at the {side} end, aims at the {detail} side {penalty_end}",
        "Penalty to [TEAM] on the {side}! [PLAYER] runs up, goes for the {detail} side "
        "{penalty_end}",
    ),
    "yellow card": (
        "Yellow card for [PLAYER] ([TEAM]) after a foul {depth} the {side} half on the "
        "{flank} side. "
        "{yellow_end}",
        "[REFEREE] books [PLAYER] ([TEAM]) on the {flank} side {depth} the {side} half. "
        "{yellow_end}",
    ),
    "foul lead to penalty": (
        "[PLAYER] is brought down in the {side} box on the {flank} side {move}, penalty for "
        "[TEAM]! {protest}",
        "{Move}, a foul on [PLAYER] on the {flank} side of the {side} box, [REFEREE] points to "
        "the spot. {protest}",
    ),
    "corner": (
        "{scorer} {swings} the corner from the {flank} side to the {detail} on the {side}, "
        "{corner_end}",
        "A corner from the {flank} corner on the {side} for [TEAM]. [PLAYER] {swings} it to the "
        "{detail}, {corner_end}",
    ),
    "free kick": (
        "{scorer} {steps} the free kick at the {side} end on the {flank} side, {free_kick_end}",
        "Free kick for [TEAM] on the {flank} side in front of the {side} box. [PLAYER] hits it, "
        "{free_kick_end}",
    ),
    "foul with no card": (
        "[PLAYER] ([TEAM]) commits a foul {depth} the {side} half on the {flank} side. No card. "
        "{foul_end}",
        "A foul on [PLAYER] on the {flank} side {depth} the {side} half, no card for it. "
        "{foul_end}",
    ),
    "own goal": (
        "Own goal! A cross from the {flank} side {move}, and [PLAYER] ([TEAM]) puts it into the "
        "{side} net {deflected}.",
        "{Move}, a cross from the {flank} side goes in off [PLAYER] {deflected}, own goal by "
        "[TEAM] at the {side} end!",
    ),
}

_MINUTES = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

#: Alternatives by rule name; "name:word" goes first if the story has that word.
_RULES: dict[str, tuple[str, ...]] = {
    "scorer": ("[PLAYER] ([TEAM])",),
    "finishes:header": ("heads the ball", "meets the cross with a header"),
    "finishes:foot": ("shoots", "strikes the ball", "fires"),
    "shot:header": ("header",),
    "shot:foot": ("shot", "strike"),
    "reach:header": ("in front of goal",),
    "reach:close": ("from close range", "from inside the box"),
    "reach:long": ("from outside the box", "from long distance"),
    "build:quick": ("after a quick counter-attack on the {flank} side",
                    "on a fast break down the {flank} side"),
    "build:patient": ("after a patient move on the {flank} side",
                      "after slow passing on the {flank} side"),
    "move:quick": ("after a quick counter-attack", "on a fast break"),
    "move:patient": ("after a patient move", "after slow passing"),
    "play:quick": ("after some quick passes", "after fast passing"),
    "play:patient": ("after some slow passes", "after patient passing"),
    "depth:halfway": ("close to the halfway line in", "near the halfway line in"),
    "depth:deep": ("deep in", "far up in"),
    "pace:quick": ("at a quick pace", "with fast passing"),
    "pace:patient": ("at a slow pace", "with patient passing"),
    "possession:quick": ("with quick passes", "with fast one-touch play"),
    "possession:patient": ("with patient passes", "slowly"),
    "keep": ("keep the ball", "pass the ball around", "are in possession"),
    "cheer:near": ("He celebrates at the near corner.", "[TEAM] celebrate at the near corner."),
    "cheer:far": ("He celebrates at the far corner.", "[TEAM] celebrate at the far corner."),
    "missed:over": ("over",),
    "missed:wide": ("wide of", "past"),
    "saves": ("makes the save", "saves", "keeps the ball out"),
    "cleared:header": ("with a header", "with his head"),
    "cleared:foot": ("with a long kick", "with his foot"),
    "pressure:header": ("a cross", "a high ball"),
    "pressure:foot": ("pressure", "a dangerous move"),
    "clearance_end:near": ("It goes to the near side.", "The ball lands on the near side."),
    "clearance_end:far": ("It goes to the far side.", "The ball lands on the far side."),
    "deflected:header": ("with his head",),
    "deflected:foot": ("with his foot",),
    "var_end:penalty": ("It is a penalty!", "He decides on penalty."),
    "var_end:no penalty": ("There is no penalty.", "No penalty, play goes on."),
    "end_end:off": ("The players go to the tunnel on the {flank} side.",
                    "They walk off on the {flank} side."),
    "end_end:hands": ("The players shake hands in the middle.",
                      "They meet in the centre circle."),
    "sent_off:near": ("He walks off on the near side.", "He has to go, off at the near side."),
    "sent_off:far": ("He walks off on the far side.", "He has to go, off at the far side."),
    "red_end:protest": ("[TEAM] keep protesting.",),
    "red_end:accept": ("",),
    "yellow_end:protest": ("[TEAM] protest.", "His teammates complain."),
    "yellow_end:accept": ("He accepts it.", "No complaints from him."),
    "hurt": ("stays down", "is lying on the ground", "is injured"),
    "injury_end:carried": ("He is carried off on a stretcher.", "He can not go on."),
    "injury_end:continues": ("He gets up and can continue.", "He is able to go on."),
    "throw_end:forward": ("down the line", "forward"),
    "throw_end:back": ("back to a teammate", "backwards"),
    "kick_off:back": ("pass back toward the", "play it back to the"),
    "kick_off:long": ("hit a long ball toward the", "go long to the"),
    "change:one": ("one substitution", "a single substitution"),
    "change:two": ("a double substitution", "two substitutions"),
    "leaves:quick": ("runs off", "leaves quickly"),
    "leaves:patient": ("walks off slowly", "takes his time to leave"),
    "corner_won:blocked": ("is blocked by a defender", "sees his shot blocked"),
    "corner_won:tipped": ("sees the goalkeeper tip the ball behind", "is denied by the keeper"),
    "swings": ("swings", "whips", "sends", "lifts"),
    "corner_end:cleared": ("but the defence clears.", "but a defender heads the ball away."),
    "corner_end:caught": ("but the goalkeeper catches it.", "but the keeper holds the ball."),
    "corner_end:wide": ("and the header goes wide.", "but the header misses the target."),
    "steps": ("takes", "steps up for", "stands over"),
    "free_kick_end:scored": ("and it goes over the wall into the net!", "and he scores!"),
    "free_kick_end:saved": ("but the goalkeeper saves.", "but the keeper gets there."),
    "free_kick_end:over": ("but it goes over the bar.", "but he misses the target."),
    "free_kick_end:cleared": ("but the cross is cleared.", "but the defence is alert."),
    "penalty_end:scored": ("and scores! He celebrates on the {flank} side.",
                           "and the ball is in the net! [TEAM] cheer on the {flank} side."),
    "penalty_end:saved": ("but the goalkeeper saves it!", "but the keeper guesses right."),
    "penalty_end:over": ("but he misses the target!", "but he puts it over the bar."),
    "protest:protest": ("The defenders protest.", "[TEAM] surround the referee."),
    "protest:accept": ("There are no protests.", "Nobody complains."),
    "foul_end:quick": ("The free kick is taken quickly.", "Play goes on at once."),
    "foul_end:patient": ("[TEAM] take their time.", "The free kick is taken after a while."),
}  # fmt: skip


def comment(story: Story, rng: np.random.Generator) -> str:
    """One anonymised comment on an acted event.

    Raises:
        KeyError: there are no sentences for the event.
    """
    if story.event not in _SENTENCES:
        raise KeyError(f"no sentences for the event {story.event!r}. Add some to _SENTENCES.")
    text = _pick(_SENTENCES[story.event], rng)
    words = {"side": story.side, "flank": story.flank, "detail": story.detail}
    tags = (
        story.outcome,
        story.tempo,
        story.body,
        story.detail,
        story.flank,
        story.distance,
        story.zone,
    )

    def expand(match: re.Match[str]) -> str:
        name = match[1]
        if name in words:
            return words[name]
        if name.lower() == "minutes":
            count = int(story.outcome)
            phrase = f"{_MINUTES[count]} added minute{'s' if count > 1 else ''}"
        else:
            keyed = [_RULES.get(f"{name.lower()}:{tag}") for tag in tags if tag]
            choices = next((c for c in keyed if c), None) or _RULES[name.lower()]
            phrase = _pick(choices, rng)
        return phrase[:1].upper() + phrase[1:] if name[0].isupper() else phrase

    while "{" in text:
        text = re.sub(r"\{(\w+)\}", expand, text)
    return text[0].upper() + " ".join(text.split())[1:]


def _pick(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def phrases() -> list[str]:
    """Every sentence pattern and alternative of the grammars, without the rule names."""
    patterns = (p for table in (_SENTENCES, _RULES) for options in table.values() for p in options)
    return [" ".join(re.sub(r"\{\w+\}", " ", pattern).split()) for pattern in patterns]
