"""Make the built-in tokenizer again: `python scripts/train_tokenizer.py`.

It is learned from the synthetic comments, the event classes and a few hundred words of match
commentary, so that anonymised soccer comments take few tokens; any other text still works.
"""

from __future__ import annotations

from pathlib import Path

VOCAB_SIZE = 1024
WORDS = """
a after again against ahead along and another any appeals area arm as assistant at attack attempt
away back ball bar be been before behind bench best between big block booking both bottom box
break but by calm captain card caution centre challenge chance change chip clear clearance close
cold comes concede control corner counter cross crossbar crowd curl curling cut danger dangerous
decides decision deep defence defender deflected deflection delivery deny direct dispossessed
distance dive down dribble drive drops dummy early edge end ends equaliser events extra far fast
finish fires first flag flick follows foot for forces forward foul free from full game gives glove
go goal goalkeeper goes ground half halfway hands has he head header heads high his hit hold in
inch injury inside instead interception into is it just keeper kick kicks late launches leads left
level line loose loses low man manager match middle midfield minute minutes misses mistake moment
move near net next no now obvious of off offside on one onto open out outside over own pass passes
penalties penalty picks pitch place play player point points post posts power pressure promising
pulls punch put puts quick quickly ran range rebound receives red referee replaced reply right
roll run runs save saves score scored scorer second sends set shoots short shot shows side sides
signals six slides slow spot stand start stays stop stoppage strike striker strong substitution
sweet swing tackle takes target team that the their third this through throw tight time to top
touch touchline towards treatment try turn two under unmarked up upright use volley wall was
wasted way weak well wide wing with woodwork yards yellow
"""


def main() -> None:
    from soccermaster.data.synthetic.commentary import phrases
    from soccermaster.models.tokenizer import train_tokenizer
    from soccermaster.vocabulary import EVENTS

    corpus = [*EVENTS, *WORDS.split(), *phrases()]
    target = Path(__file__).parent.parent / "src/soccermaster/models/assets/tokenizer.json"
    tokenizer = train_tokenizer(corpus, VOCAB_SIZE)
    tokenizer.save(str(target), pretty=False)
    print(f"{tokenizer.get_vocab_size()} tokens in {target}")


if __name__ == "__main__":
    main()
