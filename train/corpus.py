"""What is written on the boards: names, codes, states, random strings, lines of text. Pure Python, no images.

Every function takes a `random.Random`, so a board is a function of its seed.
"""
import os

HERE = os.path.dirname(os.path.abspath(__file__))


def listed(text):
    """The items of a list written with commas over several lines."""
    return text.replace("\n", "").split(",")


CITIES = listed(
    """
London,Paris,Madrid,Rome,Berlin,Vienna,Oslo,Lisbon,Dublin,Athens,Warsaw,Prague,Zurich,Geneva,Milan,Naples,
Porto,Malaga,Nice,Lyon,Munich,Hamburg,Frankfurt,Brussels,Amsterdam,Copenhagen,Stockholm,Helsinki,Riga,
Tallinn,Vilnius,Budapest,Bucharest,Sofia,Istanbul,Cairo,Dubai,Doha,Tokyo,Osaka,Seoul,Beijing,Shanghai,
Hong Kong,Singapore,Bangkok,Delhi,Mumbai,Sydney,Melbourne,Auckland,New York,Boston,Chicago,Toronto,Montreal,
Denver,Seattle,Los Angeles,San Francisco,Miami,Atlanta,Dallas,Mexico City,Bogota,Lima,Santiago,Sao Paulo,
Nairobi,Cape Town,Accra,Lagos,Casablanca,Tunis,Edinburgh,Glasgow,Manchester,Bristol,Cork,Leeds,York,
Liverpool,Cardiff,Oxford,Cambridge,Brighton,Southampton,Exeter,Plymouth,Norwich,Birmingham,Newcastle,
Aberdeen,Inverness,Belfast,Galway,Bordeaux,Nantes,Lille,Toulouse,Marseille,Strasbourg,Dijon,Rennes,Cologne,
Stuttgart,Dresden,Leipzig,Hanover,Bremen,Nuremberg,Basel,Bern,Lausanne,Lugano,Salzburg,Graz,Linz,Innsbruck,
Turin,Venice,Bologna,Florence,Pisa,Bari,Palermo,Catania,Verona,Genoa,Barcelona,Valencia,Seville,Bilbao,
Granada,Palma,Ibiza,Tenerife,Faro,Funchal,Antwerp,Ghent,Bruges,Rotterdam,Utrecht,Eindhoven,The Hague,
Luxembourg,Gothenburg,Uppsala,Bergen,Stavanger,Trondheim,Aarhus,Odense,Turku,Tampere,Gdansk,Krakow,Wroclaw,
Poznan,Brno,Bratislava,Kosice,Split,Dubrovnik,Sarajevo,Skopje,Tirana,Pristina,Varna,Chisinau,Kyiv,Lviv,
Odesa,Minsk,Tbilisi,Baku,Ankara,Izmir,Antalya,Larnaca,Valletta,Beirut,Amman,Kuwait,Riyadh,Jeddah,Muscat,
Manama,Karachi,Lahore,Colombo,Dhaka,Kolkata,Chennai,Bengaluru,Hanoi,Manila,Jakarta,Bali,Taipei,Kyoto,Nagoya,
Sapporo,Fukuoka,Busan,Perth,Brisbane,Adelaide,Hobart,Wellington,Nadi,Honolulu,Anchorage,Vancouver,Calgary,
Ottawa,Halifax,Winnipeg,Philadelphia,Washington,Baltimore,Detroit,Houston,Austin,Phoenix,Las Vegas,
San Diego,Portland,Orlando,Tampa,Charlotte,Nashville,Memphis,New Orleans,Kansas City,St Louis,
Salt Lake City,Cancun,Havana,Panama City,San Jose,Quito,Caracas,La Paz,Asuncion,Montevideo,Buenos Aires,
Cordoba,Rio de Janeiro,Brasilia,Recife,Dakar,Abidjan,Luanda,Lusaka,Harare,Kampala,Addis Ababa,Khartoum,
Algiers,Rabat,Marrakesh,Agadir,Tripoli,Kigali,Durban,Johannesburg,London Heathrow,London Gatwick,Paris CDG,
Tokyo Haneda,Milan Malpensa,New York JFK,Berlin Hbf,Gare du Nord,Kings Cross,Waterloo,Victoria,
Central Station,City Airport,Zürich,Genève,München,Köln,Düsseldorf,Nürnberg,Málaga,A Coruña,Cádiz,São Paulo,
Göteborg,Malmö,Umeå,Luleå,Tromsø,Bodø,Ålesund,Århus,Montréal,Québec,Bogotá,Cancún,Córdoba,Asunción,
Saarbrücken,Orléans,Besançon,Nîmes
"""
)

# never in the training data: they show what the model does with names that it has not met
HELD_CITIES = listed(
    """
Ljubljana,Reykjavik,Zagreb,Belgrade,Podgorica,Thessaloniki,Yerevan,Tashkent,Almaty,Kathmandu,Phuket,
Hiroshima,Christchurch,Cairns,Windhoek,Maputo,Zanzibar,Guayaquil,Medellin,Guadalajara,Pittsburgh,Cincinnati,
Savannah,Edmonton,Sheffield,Nottingham,Leicester,Grenoble,Dortmund,Zaragoza,Trieste,Lucerne,Maastricht
"""
)

AIRLINES = listed(
    """
BA,AF,LH,IB,KL,SK,LX,OS,TP,AZ,EI,AY,LO,TK,EK,QR,JL,NH,SQ,CX,QF,NZ,AA,UA,DL,AC,FR,U2,VY,W6,EZY,RYR,WZZ,ICE,
TGV,RE,IC,EC,S7,G3,4U,B6,F9,WN,AS,NK,JU,OU,BT,A3,RO,PS,MS,ET,KQ,SA,AI,TG,MH,GA,PR,CI,BR,KE,OZ,CA,MU,CZ
"""
)
STATES = listed(
    """
On time,On time,On time,Boarding,Boarding,Delayed,Delayed,Cancelled,Gate closed,Gate open,Departed,
Last call,Final call,Go to gate,Check-in,Check in open,Scheduled,Estimated {t},Expected {t},Delayed {t},
New time {t},Boarding {t},Wait in lounge,Security,Closing,Diverted,Landed,Now {t},+{n} min,{n} min late,
Gate {g},Please wait,Platform {d},Taxiing,Ready,Standby,Held
"""
)
STATES_OTHER = listed(
    "Gestrichen,Annulé,Retrasado,Verspätet,À l'heure,Pünktlich,Cancelado,Embarque,Partito,In ritardo"
)

TITLES = listed(
    "Departures,Departures,DEPARTURES,DEPARTURES,Flight information,Departures - Terminal {d},Terminal {d},"
    "Abflug,Départs,Salidas,Partenze,Train departures,All departures,Departing flights,DEPARTURES / ABFLUG,"
    "Next departures,Station {w},"
    "{w} Airport,{w},Welcome to {w},Information"
)
HEADS = {
    "time": ["Time", "Time", "Dep", "Sched", "Departs", "Zeit", "Heure"],
    "flight": ["Flight", "Flight", "Flight no", "No", "Train", "Service", "Vol"],
    "dest": ["Destination", "Destination", "To", "Going to", "Nach", "Place", "City"],
    "gate": ["Gate", "Gate", "Platform", "Plat", "Stand", "Track", "Gleis"],
    "status": ["Status", "Status", "Remarks", "Info", "Remark", "Comment"],
}
NOTES = listed(
    "Please keep your bags with you,Free wifi,Gates close 20 minutes before departure,"
    "Have a pleasant journey,Local time {t},Page 1 of 3,Security time {n} min,Gates A to F,Last update {t},"
    "Thank you for flying with us"
)

UPPER, LOWER, DIGIT = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz", "0123456789"
# in most faces I, l, 1 and | look alike, and so do O, o and 0: no rule of spelling tells them apart in a
# mixed string
CLEAR = "".join(c for c in UPPER + LOWER + DIGIT if c not in "IlO0o1")
ACCENTS = "".join(sorted({c for n in CITIES + STATES_OTHER for c in n + n.upper() if ord(c) > 126}))

# characters that faces draw alike, and that a small picture tells apart only by their middles and ends
ALIKE = "359 49 35S 2Z 68B 6GC GOQ DQO hbn ij ft ec vyw uv YV EF mn rn WV PR KX aeo gq .,: ;, 7T JI"
ALIKE = [group.replace("I", "J").replace("O", "D") for group in ALIKE.split()]  # I l 1, O o 0 are one in many faces

_words = []


def words():
    """English words of 2 to 12 letters (made by prepare from the Debian package wamerican)."""
    if not _words:
        with open(os.path.join(HERE, "data", "words.txt")) as f:
            _words.extend(f.read().split())
    return _words


def word(r):
    """An English word that is no held-out city: the list knows most of them."""
    while True:
        w = r.choice(words())
        if w.capitalize() not in HELD_CITIES:
            return w


def clock(r):
    style = r.random()
    h, m = r.randrange(24), r.randrange(0, 60, 5) if r.random() < 0.5 else r.randrange(60)
    if style < 0.90:
        return f"{h:02}:{m:02}"
    if style < 0.95:
        return f"{h:02}.{m:02}"
    return f"{h % 12 + 1}:{m:02} {'AM' if h < 12 else 'PM'}"


def random_string(r):
    """3 to 10 characters that no language model can guess."""
    n, kind = r.randrange(3, 11), r.random()
    pick = lambda s, k: "".join(r.choice(s) for _ in range(k))
    if kind < 0.35:
        return r.choice(UPPER) + pick(LOWER, n - 1)
    if kind < 0.50:
        return pick(UPPER, n)
    if kind < 0.60:
        return pick(LOWER, n)
    if kind < 0.90 or n < 6:
        return pick(CLEAR, n)
    a = r.randrange(2, n - 2)
    return r.choice(UPPER) + pick(LOWER, a - 1) + " " + r.choice(UPPER) + pick(LOWER, n - a - 1)


def alike_string(r):
    """3 to 9 characters out of a few groups that are easily taken for one another."""
    pool = "".join(r.sample(ALIKE, r.randrange(1, 4)))
    return "".join(r.choice(pool) for _ in range(r.randrange(3, 10)))


def place(r, hard, held=False):
    """(name, is it a random string). hard: the share of random strings."""
    if r.random() < hard:
        return random_string(r), True
    if held and r.random() < 0.25:
        return r.choice(HELD_CITIES), False
    if not held and r.random() < 0.15:
        return word(r).capitalize(), False
    return r.choice(CITIES), False


def fill(r, text):
    return text.format(
        t=clock(r), n=r.randrange(5, 95), d=r.randrange(1, 12), g=gate(r), w=word(r).capitalize()
    )


def gate(r):
    k = r.random()
    if k < 0.62:
        return r.choice("ABCDEFG") + str(r.randrange(1, 70))
    if k < 0.86:
        return str(r.randrange(1, 100))
    if k < 0.94:
        return str(r.randrange(1, 40)) + r.choice("ABCDEF")
    return r.choice("ABCDEFGHJKLMNPQRSTUVWXYZ")


def flight(r, gap):
    code = r.choice(AIRLINES) if r.random() < 0.75 else r.choice(UPPER) + r.choice(UPPER)
    return code + (" " if gap else "") + str(r.randrange(10, 10 ** r.randrange(2, 5)))


def status(r, hard):
    if r.random() < 0.06 * (hard > 0):
        return random_string(r)
    if r.random() < 0.05:
        return r.choice(STATES_OTHER)
    return fill(r, r.choice(STATES))


def board_rows(r, n, hard, held=False):
    """n rows as dicts of the five columns, plus 'random': is the place a random string. One style per board."""
    gap, rows = r.random() < 0.3, []
    for _ in range(n):
        name, rnd = place(r, hard, held)
        rows.append(
            {
                "time": clock(r) if r.random() < 0.02 else None,
                "flight": flight(r, gap),
                "dest": name,
                "gate": gate(r),
                "status": status(r, hard),
                "random": rnd,
            }
        )
    style = r.random()
    for row in rows:  # the clock's style is the board's, but for the rare stray one
        h, m = r.randrange(24), r.randrange(0, 60, 5) if r.random() < 0.5 else r.randrange(60)
        row["time"] = row["time"] or (
            f"{h:02}:{m:02}"
            if style < 0.92
            else f"{h:02}.{m:02}"
            if style < 0.96
            else f"{h % 12 + 1}:{m:02} {'AM' if h < 12 else 'PM'}"
        )
    return rows


def text_line(r, longest, hard=0.25, alike=0):
    """One line of text: words, numbers and random strings (`hard` of all), at most `longest` characters; alike: share of
    words that are alike_string instead.
    """
    out = ""
    while True:
        k = r.random()
        w = (
            word(r)
            if k < 0.8 - hard
            else random_string(r)
            if k < 0.8
            else r.choice(CITIES)
            if k < 0.88
            else str(r.randrange(10 ** r.randrange(1, 6)))
            if k < 0.95
            else clock(r)
        )
        if alike and r.random() < alike:
            w = alike_string(r)
        elif r.random() < 0.2:
            w = w.capitalize()
        if r.random() < 0.08:
            w += r.choice(".,:;!?")
        if len(out) + len(w) + 1 > longest:
            return out or w[:longest]
        out = out + " " + w if out else w
        if r.random() < 0.28:
            return out
