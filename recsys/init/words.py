"""What columns and event kinds are called, in several languages, and how much a name sounds like one of them."""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

USER = (
    "user uid visitor customer member shopper buyer client account subscriber reader viewer reviewer person profile "
    "patron kunde kunden nutzer benutzer besucher leser utilisateur usuario utente cliente klant gebruiker kund bruger "
    "bruker"
)
ITEM = (
    "item product sku article movie film book song track video news asin isbn goods listing offer recipe course game "
    "content stock artikel produkt ware buch produit producto prodotto articulo articolo livre libro vare varenr"
)
IDENTIFIER = "id nr no num number nummer code key uid guid uuid numero ref sku asin isbn"
TIME = (
    "timestamp datetime time date ts when moment created occurred zeitpunkt zeitstempel datum zeit uhrzeit fecha hora "
    "heure instant tidspunkt dato epoch at"
)
REQUEST = "request impression pageview page_view list search_id query_id slate anfrage session"
ORDER = "order invoice transaction basket receipt bestellung bestell auftrag rechnung commande pedido ordine ordre"
KIND = "event event_type kind action activity behavior behaviour interaction verb ereignis aktion evento type"
RATING = "rating stars score bewertung sterne note puntuacion valutazione"
VALUE = (
    f"{RATING} seconds duration dwell read_time price amount revenue total preis betrag prix montant precio importe "
    "prezzo pris quantity qty menge anzahl quantite cantidad wert valor valeur"
)
LABEL = (
    "label clicked click is_click purchased bought converted conversion target relevance grade geklickt gekauft "
    "gelesen angeklickt clique cliques clicado clicados cliccato geklikt"
)
POSITION = "position rank slot pos platz"
SHOWN = (
    "candidates shown inview in_view impressions items results recommended displayed slate products articles gezeigt "
    "angezeigt vorschlage empfohlen affiche affiches montres mostrados mostrado recomendados mostrati "
    "vist viste getoond"
)
TITLE = (
    "title name headline titel bezeichnung produktname artikelname titre nom titulo nombre titolo nome naam navn "
    "product_name"
)
TEXT = (
    "description abstract summary overview text body content plot beschreibung inhalt resume descripcion descrizione "
    "beskrivelse omschrijving"
)
AVAILABLE = (
    "available_at available on_sale since published release released listed launched publication added created online "
    "verfugbar veroffentlicht erschienen eingestellt angelegt publicado publie"
)
KNOWN_AT = (
    "known_at valid_from effective_from updated_at changed_at modified_at updated modified changed version_date "
    "gueltig_ab gultig_ab geandert geaendert valide_depuis modifie_le valido_desde valido_dal"
)
CATEGORY = (
    "category subcategory genre genres brand author topic type department section collection color material style "
    "kategorie warengruppe gruppe marke hersteller autor categorie marque categoria marca kategori artist publisher"
)
CONTEXT = (
    "device browser platform os app channel page section country region store language locale weekday kanal gerat "
    "geraet land filiale sprache pays langue appareil canal dispositivo pais tienda lingua dispositif site shop "
    "client_type"
)
QUERY = "query search keywords search_term search_query suche suchbegriff recherche busqueda ricerca"

STATUS = "status state order_status payment_status zustand bestellstatus estado statut stato tilstand"
VOID = (
    "cancelled canceled cancel returned return refunded refund failed void voided rejected declined aborted chargeback "
    "storniert storno retourniert erstattet abgebrochen abgelehnt annule rembourse retourne cancelado devuelto "
    "annullato geannuleerd geretourneerd afbestilt returneret"
)
PERSONAL = (
    "email e_mail mail phone telephone mobile firstname first_name lastname last_name surname fullname full_name "
    "street address iban birthday birthdate date_of_birth dob ip ip_address vorname nachname telefon handy adresse "
    "strasse anschrift geburtsdatum prenom telephone telefono apellido direccion indirizzo cognome telefoon"
)
SCORE = (
    "score similarity sim distance dist bm25 cosine relevance_score retrieval retriever candidate_score tfidf ann knn "
    "collaborative popularity_score rank"
)

KINDS = {
    "purchase": (
        "purchase buy bought order ordered sale sold transaction checkout booking invoice kauf gekauft bestellung "
        "bestellt verkauf achat commande compra pedido acquisto kob kop paid"
    ),
    "click": "click clicked klick clic tap open opened select read play watch listen stream lesen",
    "rating": "rating rated rate ratings review stars bewertung like favorite favourite save upvote bookmark",
    "cart": "cart basket addtocart add_to_cart warenkorb panier carrito carrello",
    "view": "view viewed pageview page_view detail impression visit seen ansicht vue vista",
}
"""Event kinds from the strongest choice to the weakest, and how they are called."""


def tokens(name: str) -> list[str]:
    """Split a name into plain lower-case words.

    Examples
    --------
    >>> tokens("productID"), tokens("Größe (cm)")
    (['product', 'id'], ['grosse', 'cm'])
    """
    spaced = re.sub(r"(?<=[a-z\u00df-\u00ff0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name.replace("\u00df", "ss"))
    bare = unicodedata.normalize("NFKD", spaced.replace("\u00f8", "o").replace("\u00d8", "O"))
    letters = "".join(letter for letter in bare if not unicodedata.combining(letter))
    return re.findall(r"[^\W_]+", letters.lower())


def likeness(name: str, words: str) -> float:
    """Say how much a name sounds like one of some words: 3 it is one, 2 it holds one, 1 a longer word does, 0 not.

    Earlier words count a little more, and so do names with nothing else in them.

    Examples
    --------
    >>> likeness("date", TIME) > likeness("order date", TIME) > likeness("Bestelldatum", TIME) > 0
    True
    >>> likeness("colour", TIME)
    0.0
    """
    parts, places = tokens(name), _places(words)
    joined = "_".join(parts)
    found: dict[str, float] = {}
    for word in (joined, joined.replace("_", ""), joined.removesuffix("s")):
        found.setdefault(word, 3.0)
    for word in (*parts, *(part.removesuffix("s") for part in parts), *_within(joined, places)):
        found.setdefault(word, 2.0 - 0.05 * len(parts))
    for part in parts:
        for length in range(4, len(part)):
            found.setdefault(part[:length], 1.0)
            found.setdefault(part[-length:], 1.0)
    return max((score - 0.001 * places[word] for word, score in found.items() if word in places), default=0.0)


@cache
def _places(words: str) -> dict[str, int]:
    """Give the place of each word; the first one counts where a word comes twice."""
    return {word: place for place, word in reversed(list(enumerate(words.split())))}


def _within(joined: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if "_" in word and word in joined]


def sounds_like_id(name: str) -> bool:
    """Tell whether a name ends the way that ids are named."""
    parts = tokens(name)
    ends = IDENTIFIER.split()
    return bool(parts) and (parts[-1] in ends or any(parts[-1].endswith(end) for end in ("id", "nr", "nummer", "code")))


def kind_of(name: str) -> str | None:
    """Say which of `KINDS` an event kind or a file name sounds like."""
    scores = {kind: likeness(name, words) for kind, words in KINDS.items()}
    best = max(scores, key=lambda kind: scores[kind])
    return best if scores[best] > 0 else None


def most_like(names: Iterable[str], words: str) -> list[str]:
    """Give the names that sound like some words, most alike first."""
    scores = {name: likeness(name, words) for name in names}
    return sorted((name for name, score in scores.items() if score > 0), key=lambda name: -scores[name])
