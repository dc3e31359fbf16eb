"""What the simulated items are about: eight categories of five topics, each with the things that a text can name.

Every thing is a noun phrase of two or three words that may follow "about" and "of".
"""

TOPICS: dict[str, dict[str, tuple[str, ...]]] = {
    "food": {
        "baking": (
            "sourdough bread", "rye loaves", "cinnamon buns", "puff pastry", "birthday cakes",
            "oat biscuits", "lemon tarts", "yeast dough", "chocolate brownies", "pie crusts",
        ),
        "street food": (
            "fish tacos", "noodle stalls", "falafel wraps", "steamed dumplings", "food trucks",
            "grilled skewers", "curry bowls", "night markets", "fried chicken", "stuffed flatbreads",
        ),
        "vegetables": (
            "roasted carrots", "bean stews", "winter cabbage", "tomato salads", "pickled beetroot",
            "mushroom dishes", "lentil soups", "stuffed peppers", "potato recipes", "leafy greens",
        ),
        "coffee": (
            "espresso machines", "filter coffee", "coffee beans", "milk foam", "cold brew",
            "coffee roasters", "barista skills", "hand grinders", "oat lattes", "paper filters",
        ),
        "wine": (
            "red wines", "wine cellars", "sparkling wine", "grape harvests", "natural wines",
            "tasting notes", "screw caps", "vineyard tours", "white burgundy", "wine lists",
        ),
    },
    "home": {
        "gardening": (
            "rose beds", "compost heaps", "tomato seedlings", "fruit trees", "lawn care",
            "balcony pots", "herb gardens", "garden ponds", "tulip bulbs", "wild hedges",
        ),
        "interiors": (
            "living rooms", "wall colours", "reading lamps", "wooden floors", "linen curtains",
            "kitchen islands", "velvet sofas", "open shelves", "patterned wallpaper", "bathroom tiles",
        ),
        "repairs": (
            "leaking taps", "squeaky doors", "cracked plaster", "roof tiles", "old windows",
            "power drills", "blocked drains", "loose sockets", "peeling paint", "broken hinges",
        ),
        "pets": (
            "rescue dogs", "house cats", "puppy training", "pet insurance", "aquarium fish",
            "talking parrots", "rabbit hutches", "dog walks", "cat litter", "guinea pigs",
        ),
        "storage": (
            "cluttered drawers", "wardrobe space", "attic boxes", "kitchen cupboards", "shoe racks",
            "paper piles", "garage shelves", "laundry baskets", "toy chests", "label makers",
        ),
    },
    "travel": {
        "rail journeys": (
            "night trains", "sleeper cabins", "railway stations", "train passes", "scenic railways",
            "dining cars", "steam engines", "platform changes", "border crossings by rail", "window seats",
        ),
        "beaches": (
            "sandy beaches", "beach huts", "snorkelling trips", "sun loungers", "hidden coves",
            "surf schools", "seaside promenades", "lifeguard towers", "sea kayaks", "tidal pools",
        ),
        "hiking": (
            "mountain trails", "hiking boots", "hut-to-hut walks", "trail maps", "summit paths",
            "day hikes", "rucksack straps", "forest tracks", "pilgrim routes", "ridge walks",
        ),
        "city breaks": (
            "weekend getaways", "boutique hotels", "walking tours", "rooftop bars", "river cruises",
            "flea markets", "tram rides", "hotel breakfasts", "old towns", "guided tours",
        ),
        "camping": (
            "family tents", "camp stoves", "sleeping bags", "camper vans", "campfire meals",
            "pitch sites", "air mattresses", "caravan parks", "wild camping", "head torches",
        ),
    },
    "health": {
        "sleep": (
            "sleepless nights", "afternoon naps", "snoring partners", "bedtime habits", "blue light",
            "weighted blankets", "early waking", "sleep trackers", "night shifts", "morning alarms",
        ),
        "nutrition": (
            "protein powders", "vitamin tablets", "sugar cravings", "gut bacteria", "fasting plans",
            "salt intake", "breakfast cereals", "omega oils", "food labels", "fizzy drinks",
        ),
        "fitness": (
            "kettlebell workouts", "yoga classes", "gym memberships", "stretching routines", "home weights",
            "rowing machines", "pilates mats", "step counters", "squat technique", "personal trainers",
        ),
        "mind": (
            "anxious thoughts", "talking therapy", "meditation apps", "work stress", "panic attacks",
            "breathing exercises", "low moods", "screen breaks", "burnout signs", "worry diaries",
        ),
        "skin": (
            "sun cream", "dry skin", "face serums", "acne scars", "hand lotions",
            "eczema flare-ups", "shaving rashes", "anti-wrinkle creams", "sensitive scalps", "lip balms",
        ),
    },
    "money": {
        "pensions": (
            "pension pots", "retirement savings", "annuity rates", "state pensions", "workplace schemes",
            "drawdown plans", "pension fees", "nest eggs", "lump sums", "final salaries",
        ),
        "housing": (
            "house prices", "mortgage rates", "rental contracts", "estate agents", "shared ownership",
            "property surveys", "moving costs", "housing queues", "deposit schemes", "attic conversions",
        ),
        "investing": (
            "index funds", "share portfolios", "stock tips", "government bonds", "gold coins",
            "dividend stocks", "crypto wallets", "fund managers", "market crashes", "savings accounts",
        ),
        "taxes": (
            "tax returns", "inheritance tax", "council tax", "tax refunds", "expense claims",
            "capital gains", "income brackets", "customs duties", "fuel levies", "tax advisers",
        ),
        "jobs": (
            "job interviews", "pay rises", "remote work", "career changes", "cover letters",
            "notice periods", "open offices", "temporary contracts", "job adverts", "office lunches",
        ),
    },
    "technology": {
        "phones": (
            "folding phones", "phone batteries", "camera lenses", "charging cables", "screen repairs",
            "ringtone settings", "mobile plans", "app stores", "text messages", "phone cases",
        ),
        "artificial intelligence": (
            "chat assistants", "language models", "image generators", "robot helpers", "voice cloning",
            "machine translation", "neural networks", "training data", "smart software", "automated writing",
        ),
        "games": (
            "video games", "game consoles", "puzzle games", "online tournaments", "racing simulators",
            "virtual worlds", "retro arcades", "game controllers", "role-playing adventures", "speed runs",
        ),
        "security": (
            "stolen passwords", "phishing emails", "data breaches", "home routers", "identity theft",
            "software updates", "spy cameras", "ransom attacks", "login codes", "backup drives",
        ),
        "electric cars": (
            "electric cars", "charging stations", "battery packs", "family hatchbacks", "self-driving taxis",
            "heat pumps in cars", "range worries", "used electric vans", "fast chargers", "dashboard screens",
        ),
    },
    "culture": {
        "film": (
            "horror films", "film festivals", "documentary makers", "movie sequels", "silent cinema",
            "stunt doubles", "film scores", "animated features", "independent cinemas", "costume dramas",
        ),
        "books": (
            "crime novels", "poetry collections", "book clubs", "debut authors", "public libraries",
            "audio books", "picture books", "second-hand bookshops", "literary prizes", "short stories",
        ),
        "music": (
            "jazz concerts", "vinyl records", "choir singing", "opera singers", "guitar bands",
            "piano lessons", "summer festivals", "protest songs", "violin makers", "dance music",
        ),
        "museums": (
            "modern paintings", "sculpture parks", "museum tickets", "ancient pottery", "photo exhibitions",
            "stolen masterpieces", "gallery openings", "textile art", "wax figures", "art schools",
        ),
        "theatre": (
            "stage musicals", "ballet companies", "amateur dramatics", "puppet shows", "stand-up stages",
            "theatre seats", "drama schools", "one-person plays", "costume workshops", "opening nights",
        ),
    },
    "sport": {
        "football": (
            "penalty kicks", "transfer deals", "goalkeeper gloves", "youth academies", "season tickets",
            "league tables", "video referees", "football boots", "women's football", "cup finals",
        ),
        "cycling": (
            "road bikes", "bike lanes", "gravel rides", "cycling helmets", "sprint finishes",
            "bicycle chains", "cargo bikes", "hill climbs", "stage races", "velodrome tracks",
        ),
        "tennis": (
            "tennis rackets", "grass courts", "serve technique", "doubles partners", "clay tournaments",
            "tie-break nerves", "ball machines", "line judges", "padel courts", "backhand drills",
        ),
        "running": (
            "marathon training", "running shoes", "parkland jogs", "sore knees", "interval sessions",
            "relay teams", "trail races", "energy gels", "track records", "finish lines",
        ),
        "water sport": (
            "swimming pools", "rowing crews", "sailing dinghies", "open-water swims", "diving boards",
            "wetsuit fittings", "water polo", "kite surfing", "butterfly strokes", "canoe slaloms",
        ),
    },
}  # fmt: skip
"""category -> topic -> things."""
