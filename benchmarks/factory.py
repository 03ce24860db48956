"""What each rule of the factory is worth, with a noisy oracle in place of the networks.

    python benchmarks/factory.py             # five clips of 750 frames; some minutes on one core
    python benchmarks/factory.py --lasting   # errors of appearance that last for whole tracks
    python benchmarks/factory.py --first-seed 100 --rows default

The clips are synthetic, the mistakes of detector, ReID and VLM are drawn at the rates of
`soccermaster.factory.oracle.OracleNoise`, those of SAM 2 at the rates of
`soccermaster.factory.oracle_masks.OracleSegmenter`, and the tracks are the true ones, cut at
random. GS-HOTA in percent, mean and standard deviation over the seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np

from soccermaster.factory.oracle import (
    BestReadings,
    OracleClip,
    OracleNoise,
    TrueTracks,
    Unseen,
    noisy_clip,
    same_other_auc,
    synthetic_truth,
)
from soccermaster.factory.oracle_masks import OraclePlaces, OracleSegmenter
from soccermaster.factory.people import athletes_of, gather_people
from soccermaster.factory.records import Records, make_table
from soccermaster.factory.refine import RefineOneByOne, RefineWindows
from soccermaster.factory.stage import ClipContext, Stage, check_chain
from soccermaster.factory.track import Track
from soccermaster.factory.tracks import (
    DropShort,
    Fill,
    MergeByNumber,
    MergeByReID,
    RemoveOutside,
    Side,
    Smooth,
    Team,
    Vote,
)
from soccermaster.metrics.tracking import game_state_scores

NUM_FRAMES = 750


def default_chain(clip: OracleClip, **changed: Stage | None) -> list[Stage]:
    """The rules of the preset `default`; a name with None is left out, with a stage replaced."""
    stages: dict[str, Stage | None] = {
        "refine": RefineWindows(segmenter(clip)),
        "project": OraclePlaces(clip, np.random.default_rng(1)),
        "best_readings": BestReadings(),
        "remove_outside": RemoveOutside(),
        "vote": Vote(),
        "merge_by_number": MergeByNumber(),
        "merge_by_reid": MergeByReID(),
        "vote_again": Vote(),
        "drop_short": DropShort(),
        "fill": Fill(),
        "smooth": Smooth(),
        "team": Team(),
        "side": Side(),
    }
    unknown = set(changed) - set(stages)
    if unknown:
        raise ValueError(f"expected stages of {', '.join(stages)}, got {sorted(unknown)}")
    return [stage for stage in (stages | changed).values() if stage is not None]


def paper_chain(clip: OracleClip, refine: bool = True) -> list[Stage]:
    """The rules of the preset `paper`: the official ones, with the paper's team features."""
    refinement = [RefineOneByOne(segmenter(clip)), OraclePlaces(clip, np.random.default_rng(1))]
    return [
        *(refinement if refine else []),
        RemoveOutside(),
        Vote("official"),
        MergeByNumber("official"),
        MergeByReID("official"),
        Vote("official"),
        Team("embedding_and_place"),
        Side("official"),
    ]


def segmenter(clip: OracleClip) -> OracleSegmenter:
    """What takes the place of SAM 2."""
    return OracleSegmenter(clip, np.random.default_rng(0))


def bare_chain() -> list[Stage]:
    """Tracks as they come and attributes as they are read; teams by the default rules."""
    return [Team(), Side()]


def ceiling(clip: OracleClip) -> list[Stage]:
    """The default chain with true ids and attributes, but without refinement, which finds boxes."""
    return [TrueTracks(clip), DropShort(), Fill(), Smooth(), RestoreTeams(clip)]


class RestoreTeams(Stage):
    """The true team in every row of a track, also in those that were filled in.

    Args:
        clip: the oracle's.
    """

    name = "restore_teams"
    requires = frozenset({"detections", "track_ids"})
    provides = frozenset({"teams"})

    def __init__(self, clip: OracleClip) -> None:
        self.clip = clip

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people, truth = gather_people(records), self.clip.truth
        team_of = dict(zip(truth.track_ids.tolist(), truth.teams.tolist(), strict=True))
        teams = np.array([team_of.get(int(track), -1) for track in people.track_id])
        rows = np.flatnonzero(teams >= 0)
        table = make_table(
            "teams",
            source="truth",
            frame=people.frame[rows],
            detection_id=people.detection_id[rows],
            team=teams[rows],
        )
        return records.replace(teams=table)


ROWS: dict[str, Callable[[OracleClip], list[Stage]]] = {
    "ceiling: true ids and attributes": ceiling,
    "bare: no refinement, voting, merging": lambda clip: bare_chain(),
    "paper": paper_chain,
    "paper without refine": lambda clip: paper_chain(clip, refine=False),
    "default": default_chain,
    "default, the tracker's tracks in place of cut ones": lambda clip: [
        Track(),
        *default_chain(clip),
    ],
    "default without refine": lambda clip: default_chain(clip, refine=None),
    "default without refine and fill": lambda clip: default_chain(clip, refine=None, fill=None),
    "default without remove_outside": lambda clip: default_chain(clip, remove_outside=None),
    "default without vote": lambda clip: default_chain(clip, vote=None, vote_again=None),
    "default without merge_by_number": lambda clip: default_chain(clip, merge_by_number=None),
    "default without merge_by_reid": lambda clip: default_chain(clip, merge_by_reid=None),
    "default without vote after merging": lambda clip: default_chain(clip, vote_again=None),
    "default without drop_short": lambda clip: default_chain(clip, drop_short=None),
    "default without fill": lambda clip: default_chain(clip, fill=None),
    "default without smooth": lambda clip: default_chain(clip, smooth=None),
    "default, official refine": lambda clip: default_chain(
        clip, refine=RefineOneByOne(segmenter(clip))
    ),
    "default, refine follows what was seen once": lambda clip: default_chain(
        clip, refine=RefineWindows(segmenter(clip), min_track_rows=1)
    ),
    "default, all readings in place of the best 12": lambda clip: default_chain(
        clip, best_readings=None
    ),
    "default, official vote": lambda clip: default_chain(
        clip, vote=Vote("official"), vote_again=Vote("official")
    ),
    "default, official merges": lambda clip: default_chain(
        clip, merge_by_number=MergeByNumber("official"), merge_by_reid=MergeByReID("official")
    ),
    "default, teams by embedding alone": lambda clip: default_chain(clip, team=Team("embedding")),
    "default, teams by embedding and place": lambda clip: default_chain(
        clip, team=Team("embedding_and_place")
    ),
    "default, official sides": lambda clip: default_chain(clip, side=Side("official")),
}


#: The same AUC, but what makes one person look like another stays for some hundred frames, so that
#: the mean over a track is hardly better than a single crop.
LASTING = OracleNoise(slow_share=0.9, slow_frames=200.0)


def oracle_clip(
    seed: int, num_frames: int = NUM_FRAMES, noise: OracleNoise | None = None
) -> OracleClip:
    """The clip of a seed; with the noise of `OracleNoise()` if none is given."""
    truth, cameras = synthetic_truth(seed, num_frames)
    return noisy_clip(truth, cameras, np.random.default_rng(seed), noise or OracleNoise())


def score(clip: OracleClip, stages: Sequence[Stage]) -> dict[str, float]:
    """GS-HOTA, GS-DetA and GS-AssA in percent after the stages."""
    check_chain(stages, frozenset(clip.records))
    frames = len(clip.cameras.position_m)
    source = Unseen(frames, clip.cameras.image_size)
    context = ClipContext("oracle", source, range(frames))
    records = clip.records
    for stage in stages:
        records = stage.run(context, records)
    scores = game_state_scores([(clip.truth, athletes_of(records))])
    return {name: 100 * value for name, value in scores.items()}


def measured_auc(clip: OracleClip, sample: int = 2000) -> float:
    """Same/other AUC of the clip's embeddings, over all pairs of a sample."""
    real = np.flatnonzero(clip.truth_rows >= 0)
    some = np.random.default_rng(0).choice(real, min(sample, len(real)), replace=False)
    vectors = clip.records.array("embeddings", "vector")
    return same_other_auc(vectors[some], clip.truth.track_ids[clip.truth_rows[some]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="number of clips")
    parser.add_argument("--first-seed", type=int, default=0, help="rules are tuned from 100 on")
    parser.add_argument("--lasting", action="store_true", help="errors of appearance last")
    parser.add_argument("--rows", nargs="*", help="only rows that contain one of these words")
    arguments = parser.parse_args()
    chains = {
        name: chain
        for name, chain in ROWS.items()
        if not arguments.rows or any(word in name for word in arguments.rows)
    }
    noise = LASTING if arguments.lasting else None
    results: dict[str, list[dict[str, float]]] = {name: [] for name in chains}
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        clip = oracle_clip(seed, noise=noise)
        missed = 1 - (clip.truth_rows >= 0).sum() / len(clip.truth)
        print(
            f"seed {seed}: {len(np.unique(clip.truth.track_ids))} people, "
            f"{len(clip.truth)} true boxes, {missed:.1%} missed, AUC {measured_auc(clip):.3f}",
            flush=True,
        )
        for name, chain in chains.items():
            results[name].append(score(clip, chain(clip)))
    base = np.array([s["gs_hota"] for s in results.get("default", [])])
    print("| chain | GS-HOTA | GS-DetA | GS-AssA | to default |\n|---|---|---|---|---|")
    for name, scores in results.items():
        values = {key: np.array([s[key] for s in scores]) for key in scores[0]}
        cells = [spread(values[key]) for key in ("gs_hota", "gs_deta", "gs_assa")]
        gain = spread(values["gs_hota"] - base, "+") if len(base) else ""
        print(f"| {name} | {' | '.join(cells)} | {gain} |")


def spread(values: np.ndarray, sign: str = "") -> str:
    """Mean and standard deviation over the seeds."""
    return f"{values.mean():{sign}.1f} ± {values.std():.1f}"


if __name__ == "__main__":
    main()
