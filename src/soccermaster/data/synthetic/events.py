"""The table of acted events: what people, ball and camera do in the half minute around each.

`ACTS` maps a class of `vocabulary.EVENTS` to a function that writes a `Script`. The event happens
at time 0 of the script. To act a further class, write such a function and add it to the table.
"""

from __future__ import annotations

import numpy as np

from soccermaster.data.synthetic import acts_attack, acts_set_pieces, acts_stoppages
from soccermaster.data.synthetic.scene import Script
from soccermaster.data.synthetic.story import Act, Story

#: How each acted event class is acted; the event happens at time 0.
ACTS: dict[str, Act] = {
    "var": acts_stoppages.act_var,
    "end of half game": acts_stoppages.act_end_of_half_game,
    "clearance": acts_attack.act_clearance,
    "second yellow card": acts_stoppages.act_second_yellow_card,
    "injury": acts_stoppages.act_injury,
    "ball possession": acts_attack.act_ball_possession,
    "throw in": acts_set_pieces.act_throw_in,
    "show added time": acts_stoppages.act_show_added_time,
    "shot off target": acts_attack.act_shot_off_target,
    "start of half game": acts_set_pieces.act_start_of_half_game,
    "substitution": acts_stoppages.act_substitution,
    "saved by goal-keeper": acts_attack.act_saved,
    "red card": acts_stoppages.act_red_card,
    "lead to corner": acts_attack.act_lead_to_corner,
    "ball out of play": acts_attack.act_ball_out_of_play,
    "off side": acts_attack.act_off_side,
    "goal": acts_attack.act_goal,
    "penalty": acts_set_pieces.act_penalty,
    "yellow card": acts_stoppages.act_yellow_card,
    "foul lead to penalty": acts_set_pieces.act_foul_lead_to_penalty,
    "corner": acts_set_pieces.act_corner,
    "free kick": acts_set_pieces.act_free_kick,
    "foul with no card": acts_stoppages.act_foul_with_no_card,
    "own goal": acts_attack.act_own_goal,
}


def act(event: str, script: Script, rng: np.random.Generator) -> Story:
    """Write an event into an empty script.

    Raises:
        ValueError: nobody knows how to act `event`.
    """
    if event not in ACTS:
        raise ValueError(
            f"expected one of the acted events {sorted(ACTS)}, got {event!r}. "
            "Add a function for it to soccermaster.data.synthetic.events.ACTS."
        )
    return ACTS[event](script, rng)


__all__ = ["ACTS", "Act", "Story", "act"]
