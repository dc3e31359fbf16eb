"""What shows in the text only: facets, each said in several ways that share as few words as possible."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Facet:
    """One property of an item that only a reader of its text can see.

    Attributes
    ----------
    name
        What it is called in the truth, never in a table.
    group
        An item has at most one facet of a group.
    appeal
        What it adds to everybody's utility, in log odds.
    titles
        Ways to show it in the title. For the group `format` whole titles with `{}` for the subject, for the other
        groups words that follow the subject.
    sentences
        Ways to show it in the description: for `format` openings with `{}` for a thing, otherwise whole sentences.
    """

    name: str
    group: str
    appeal: float
    titles: tuple[str, ...]
    sentences: tuple[str, ...]


GROUPS: dict[str, float] = {"format": 1.0, "tone": 0.7, "audience": 0.55, "angle": 0.7, "place": 0.5}
"""Groups of facets and the share of items that have one of the group."""

FACETS: tuple[Facet, ...] = (
    Facet("how-to", "format", 0.35, (
        "how to get started with {}", "a step-by-step guide to {}", "{}: the simple method that works",
        "learn {} in five easy lessons", "do it yourself: {} from start to finish", "the right way to tackle {}",
    ), (
        "Follow these instructions and {} will soon be familiar.", "We walk you through {} one stage at a time.",
        "Handy tips on {} that you can use tonight.", "First prepare, then practise: {} explained.",
    )),
    Facet("investigation", "format", 0.55, (
        "the hidden dealings behind {}", "leaked files raise questions over {}", "who really profits from {}?",
        "what they never told you about {}", "exposed: the secret trade in {}",
        "months of digging reveal the truth on {}",
    ), (
        "Our reporters uncovered what went on with {}.", "Confidential papers cast doubt on {}.",
        "Whistleblowers speak out about {}.", "Somebody covered up the facts on {}.",
    )),
    Facet("interview", "format", 0.0, (
        "in her own words: a life of {}", "a long conversation about {}", "'I owe everything to {}', he tells us",
        "we sat down with the face of {}", "ten questions for the queen of {}", "she talks openly about {}",
    ), (
        "Asked about {}, our guest smiles and takes her time.", '"People ask me about {} every day," she says.',
        "Over tea he recalls his years with {}.", "We spoke with a person who lives for {}.",
    )),
    Facet("ranking", "format", 0.3, (
        "the best of {}, ranked", "our top ten picks in {}", "from worst to first: {}",
        "{}: the definitive shortlist", "nine favourites for lovers of {}", "the greatest {} of all time",
    ), (
        "Here is our league table of {}.", "We put {} in order, winner last.",
        "These are the ten {} to know.", "Number one on our list of {} may surprise you.",
    )),
    Facet("opinion", "format", -0.15, (
        "why I have had enough of {}", "it is time to rethink {}", "in defence of {}",
        "we are all wrong about {}", "my quarrel with {}", "stop apologising for {}",
    ), (
        "Our columnist says what she thinks of {}.", "I cannot keep quiet about {} any longer.",
        "The debate on {} has lost its way, argues our writer.", "Let me be blunt about {}.",
    )),
    Facet("history", "format", -0.3, (
        "the forgotten past of {}", "a century of {} in old photographs", "when our grandparents discovered {}",
        "{}: where it all began", "the medieval roots of {}", "tracing {} back through the ages",
    ), (
        "Archives show what {} meant in 1890.", "Long before us, kings and farmers knew {}.",
        "The origins of {} lie generations back.", "Historians retell the early days of {}.",
    )),
    Facet("figures", "format", -0.55, (
        "{} in six charts", "what the numbers say about {}", "counting {}: the statistics behind the story",
        "a survey of thousands maps {}", "{} by the figures", "new percentages shed light on {}",
    ), (
        "Graphs and tables sum up {}.", "The share of people choosing {} rose by eight per cent.",
        "Our data team has measured {}.", "Medians and averages for {} at a glance.",
    )),
    Facet("test", "format", 0.2, (
        "we tried {} for a week", "{} put to the test", "hands on with {}: our verdict",
        "is the fuss over {} justified? we checked", "{} reviewed: stars, flaws and surprises",
        "twelve kinds of {} compared",
    ), (
        "Our panel gave {} marks out of ten.", "In the laboratory we pushed {} to the limit.",
        "Only one kind of {} earned our recommendation.", "Strengths and weaknesses of {} after a month of use.",
    )),
    Facet("funny", "tone", 0.65, (
        "and other comic disasters", "with a wink", "and plenty of laughs", "for people who giggle",
    ), (
        "Expect jokes on every line.", "You will laugh until your stomach hurts.",
        "Even the goat in the story finds it hilarious.", "A silly tale with a ridiculous ending.",
        "Nobody kept a straight face.",
    )),
    Facet("alarming", "tone", 0.4, (
        "and the danger ahead", "under threat", "in a deepening crisis", "before it is too late",
    ), (
        "Experts sound the alarm.", "The worst may be yet to come.", "Ignore it at your peril.",
        "Fear is spreading fast.", "A serious warning has been issued.",
    )),
    Facet("hopeful", "tone", 0.05, (
        "and a brighter tomorrow", "with new optimism", "on the way up", "and reasons to be cheerful",
    ), (
        "Things are finally getting better.", "There is light at the end of the tunnel.",
        "A promising turn gives everyone courage.", "Good news at last.", "The future looks bright.",
    )),
    Facet("cosy", "tone", -0.05, (
        "by the fireside", "for slow Sundays", "with a warm blanket", "and a pot of tea",
    ), (
        "Curl up and take it slowly.", "Candles, wool socks and no hurry at all.",
        "A gentle read for rainy afternoons.", "Snug, quiet and unhurried.", "Put the kettle on and relax.",
    )),
    Facet("formal", "tone", -1.0, (
        "pursuant to the annual report", "with explanatory remarks", "in an official memorandum",
        "subject to the usual terms",
    ), (
        "The committee hereby presents its observations.", "Further particulars are set out in the appendix.",
        "Stakeholders are requested to take note.", "The aforementioned provisions remain applicable.",
        "Minutes of the proceedings are enclosed.",
    )),
    Facet("moving", "tone", 0.3, (
        "and the tears that followed", "and a promise kept", "after a great loss", "with a broken heart",
    ), (
        "Keep a handkerchief ready.", "What happened next left everyone weeping.",
        "A story of grief and love.", "He never got to say goodbye.", "The ending will touch your soul.",
    )),
    Facet("parents", "audience", 0.15, (
        "for busy parents", "with toddlers around", "for the whole family", "between nursery and bedtime",
    ), (
        "Your children can join in.", "Mums and dads will recognise it.", "Works even with a baby on your arm.",
        "The little ones will love it.", "Made for households with kids.",
    )),
    Facet("students", "audience", 0.0, (
        "on campus", "for exam season", "in student halls", "between two lectures",
    ), (
        "Undergraduates swear by it.", "It fits into a dormitory room.", "University life will never be the same.",
        "Ideal during a semester abroad.", "Ask any freshman.",
    )),
    Facet("retirees", "audience", -0.15, (
        "after sixty-five", "in your golden years", "for active pensioners", "at a grandparent's pace",
    ), (
        "Seniors have the time for it.", "It is never too late, says Elsie, 81.",
        "Made for life after work.", "The over-seventies lead the way.", "Old age has its advantages.",
    )),
    Facet("experts", "audience", -0.2, (
        "for seasoned professionals", "at an advanced level", "for specialists only", "in expert hands",
    ), (
        "Practitioners will value the technical depth.", "Beginners should look elsewhere.",
        "It assumes years of training.", "Industry insiders already know.", "Written for those in the trade.",
    )),
    Facet("couples", "audience", 0.0, (
        "for two", "with your better half", "after the honeymoon", "for newlyweds",
    ), (
        "Share it with the one you love.", "Husbands and wives rarely agree on it.",
        "Perfect for a date.", "It might even save your marriage.", "Romance is guaranteed.",
    )),
    Facet("budget", "angle", 0.3, (
        "on a shoestring", "for next to nothing", "at bargain prices", "without spending a fortune",
    ), (
        "Your wallet will thank you.", "It costs less than a lunch.", "Cheap does not mean bad.",
        "Every penny counts.", "Save money from the first day.",
    )),
    Facet("luxury", "angle", 0.0, (
        "for millionaires", "in five-star style", "with champagne and caviar", "at the top end",
    ), (
        "Only the finest will do.", "Exclusive, opulent and very expensive.",
        "The price tag would buy a villa.", "Gold taps are included.", "Treat yourself like royalty.",
    )),
    Facet("green", "angle", -0.05, (
        "without harming the planet", "in a warming climate", "with less waste", "and the carbon footprint",
    ), (
        "Nature benefits too.", "Emissions fall by half.", "Everything can be recycled.",
        "Sustainable choices come first.", "The environment pays no price.",
    )),
    Facet("celebrity", "angle", 0.5, (
        "of the rich and famous", "on the red carpet", "as seen on a pop star", "and a Hollywood scandal",
    ), (
        "A well-known actress is a fan.", "Paparazzi were waiting outside.", "Film stars do it too.",
        "The singer posted it to millions of followers.", "Gossip columns talk of nothing else.",
    )),
    Facet("research", "angle", 0.0, (
        "under the microscope", "according to new studies", "as scientists see it", "in clinical trials",
    ), (
        "A peer-reviewed paper backs the claim.", "Biologists ran the experiment twice.",
        "The evidence comes from a laboratory.", "Academics have published their findings.",
        "A professor explains the mechanism.",
    )),
    Facet("law", "angle", -0.5, (
        "in court", "under new legislation", "and the small print", "before the judges",
    ), (
        "A tribunal will decide in spring.", "Lawmakers have drafted an amendment.",
        "Attorneys disagree on the clause.", "The regulation enters into force soon.", "Check your legal rights.",
    )),
    Facet("neighbours", "angle", 0.0, (
        "on your own street", "run by volunteers", "in the community hall", "with the people next door",
    ), (
        "Local residents lend a hand.", "The whole neighbourhood turned up.", "Volunteers keep it going.",
        "It brings a street together.", "A parish club makes it possible.",
    )),
    Facet("nordic", "place", 0.0, (
        "in Norway", "the Swedish way", "among Danish designers", "under Finnish birches",
    ), (
        "Scandinavians have known it for ages.", "In Helsinki it is part of life.",
        "The idea came from Copenhagen.", "Fjords and northern lights included.", "Report from Stockholm.",
    )),
    Facet("mediterranean", "place", 0.15, (
        "in Italy", "the Greek way", "under Spanish sun", "among olive groves",
    ), (
        "In Naples nobody does without it.", "The tradition lives on in Sicily.",
        "Andalusia shows the rest how.", "Report from Athens.", "Crete has always done it so.",
    )),
    Facet("east asia", "place", 0.0, (
        "in Japan", "the Korean way", "from Shanghai", "in Kyoto temples",
    ), (
        "Tokyo is years ahead.", "The craze started in Seoul.", "Report from Taipei.",
        "Osaka families pass it on.", "Chinese masters perfected it.",
    )),
    Facet("america", "place", 0.05, (
        "in New York", "the Texan way", "from coast to coast", "in California",
    ), (
        "Americans cannot get enough of it.", "Report from Chicago.", "It all started in a Boston suburb.",
        "From Seattle to Miami everyone talks.", "The Midwest leads the trend.",
    )),
    Facet("city", "place", 0.0, (
        "in the big city", "among skyscrapers", "for urban dwellers", "downtown",
    ), (
        "Traffic roars outside the window.", "Metropolitan life demands it.",
        "Between subway and high-rise there is room.", "Tower blocks need not be grey.", "Capital dwellers agree.",
    )),
    Facet("village", "place", -0.05, (
        "in the countryside", "on the farm", "far from town", "down a country lane",
    ), (
        "Rural life has its own rhythm.", "Cows graze beyond the gate.", "Hamlets are thriving on it.",
        "Farmers know best.", "Out in the fields it is quiet.",
    )),
)  # fmt: skip
