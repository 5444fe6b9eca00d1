"""What is said: a grammar of about 700 words. Pure Python; a sentence is a function of its random.Random.

Transcripts are what is heard, in small letters, numbers as words. Letters of flight numbers are written as single
letters ("b a one one seven"); `spelled` gives the synthesiser a form that it reads letter by letter.
"""
import json, os, re
import corpus

HERE = os.path.dirname(os.path.abspath(__file__))
DIGITS = "zero one two three four five six seven eight nine".split()
TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "twenty thirty forty fifty".split()
COLOURS = "red green blue yellow orange white black grey brown pink purple golden".split()
# names that English rules of reading get right
CITIES = [c for c in corpus.CITIES if re.fullmatch(r"[A-Za-z ]+", c) and not re.search(r"CDG|JFK|Hbf|Gare|St ", c)]
HELD_CITIES = [c for c in corpus.HELD_CITIES]
PEOPLE = "anna peter maria david laura thomas julia martin sarah paul emma john".split()
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
THINGS = "door window light radio music television heating kitchen garden table book letter ticket suitcase".split()
DRINKS = "tea coffee water milk juice lemonade".split()
WEATHER = "sunny rainy cloudy windy foggy cold warm stormy".split()
SHOPS = "station museum library market hospital school bank hotel bakery post office".split()

TEMPLATES = """
{code} to {city} is now boarding at gate {gate}
{code} to {city} is delayed by {number} minutes
{code} from {city} has landed
the flight to {city} is cancelled
the train to {city} leaves from platform {number}
the train from {city} arrives at {time}
the next train to {city} leaves at {time}
passengers to {city} please go to gate {gate}
last call for {code} to {city}
gate {gate} is now closed
which gate for {city}
when does the flight to {city} leave
is there a flight to {city}
which flights are delayed
which flights are cancelled
what is the status of {code}
how many flights are on the board
where does {code} go
what is in the picture
where is the {picture}
i can see a {picture} and a {picture}
there is a {colour} {picture} on the left
there is a {picture} in the middle
the {picture} is {colour}
a {colour} {picture} and a {colour} {picture}
please read the board
what does it say
read the text
set a timer for {number} minutes
wake me up at {time}
it is {time}
my number is {digits}
call {digits}
the code is {digits}
{digits}
{digits}
{number} and {number}
{letter} {letter} {letter} {digit} {digit}
turn on the {thing}
turn off the {thing}
open the {thing}
close the {thing}
where is the {shop}
turn left at the {shop}
turn right after {number} minutes
i would like a cup of {drink}
two cups of {drink} please
the weather in {city} is {weather}
it is {weather} today
it will be {weather} on {day}
{name} is going to {city} on {day}
{name} has a {colour} {picture}
good morning {name}
good evening {name} how are you
thank you very much
yes please
no thank you
stop
hello
see you on {day} at {time}
how far is it to {city}
one ticket to {city} please
a single to {city} and a return to {city}
""".strip().split("\n")

_pictures = []


def pictures():
    if not _pictures:
        with open(os.path.join(HERE, "data", "pictures.json")) as f:
            _pictures.extend(re.sub("[^a-z ]", " ", name.lower()).strip() for name in json.load(f))
    return _pictures


def number(n):
    """0 .. 59 in words."""
    if n < 10:
        return DIGITS[n]
    if n < 20:
        return TEENS[n - 10]
    return TENS[n // 10 - 2] + (" " + DIGITS[n % 10] if n % 10 else "")


def clock(r):
    h, m = r.randrange(1, 24), r.choice((0, 0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, r.randrange(60)))
    if m == 0:
        return number(h) + " o clock"
    return number(h) + " " + ("o " if m < 10 else "") + number(m)


def letters(s):
    """'BA117' -> 'b a one one seven'"""
    return " ".join(DIGITS[int(c)] if c.isdigit() else c.lower() for c in s if c.isalnum())


def fill(r, template, held=False):
    def value(match):
        kind = match[1]
        many = dict(colour=COLOURS, picture=pictures(), thing=THINGS, drink=DRINKS, weather=WEATHER, day=DAYS)
        many.update(name=PEOPLE, shop=SHOPS, digit=DIGITS, letter=list("abcdefghijklmnopqrstuvwxyz"))
        if kind in many:
            return r.choice(many[kind])
        if kind == "city":
            return r.choice(CITIES).lower()
        if kind == "number":
            return number(r.randrange(1, 60))
        if kind == "digits":
            return " ".join(r.choice(DIGITS) for _ in range(r.randrange(2, 8)))
        if kind == "time":
            return clock(r)
        if kind == "gate":
            return letters(r.choice("ABCDEFG") + str(r.randrange(1, 30))) if r.random() < 0.7 else number(r.randrange(1, 60))
        assert kind == "code", kind
        return letters(r.choice(corpus.AIRLINES[:32]) + str(r.randrange(10, 1000)))

    return re.sub(r"\{(\w+)\}", value, template)


def sentence(r):
    """One sentence of the grammar, as it is transcribed."""
    if r.random() < 0.12:  # words without a sentence, so that none is only guessed from its neighbours
        pool = (pictures(), COLOURS, DIGITS + TEENS + TENS, [c.lower() for c in CITIES], THINGS + DRINKS + SHOPS)
        return " ".join(r.choice(r.choice(pool)) for _ in range(r.randrange(1, 5)))
    return fill(r, r.choice(TEMPLATES))


def spelled(text):
    """The synthesiser's form: single letters stand alone in capitals, but for the word "a"."""
    words = text.split(" ")
    out = []
    for i, w in enumerate(words):
        near = [words[j] for j in (i - 1, i + 1) if 0 <= j < len(words)]
        code = len(w) == 1 and (w not in "a" or any(len(n) == 1 or n in DIGITS for n in near))
        out.append(w.upper() + "." if code and w != "o" else w)
    return " ".join(out)


def with_digits(text):
    """The transcript that the published prompt asks for: digits instead of number words."""
    out = []
    for w in text.split(" "):
        if w in TENS:
            out.append((TENS.index(w) + 2) * 10)
        elif w in DIGITS:
            d = DIGITS.index(w)
            if out and isinstance(out[-1], int) and out[-1] >= 20 and out[-1] % 10 == 0 and d:
                out[-1] += d
            else:
                out.append(d)
        elif w in TEENS:
            out.append(TEENS.index(w) + 10)
        else:
            out.append(w)
    return re.sub(r"\bo (\d)\b", r"0\1", " ".join(str(w) for w in out))  # "ten o five" is 10 05


def vocabulary():
    """All words that the grammar can say."""
    text = " ".join(re.sub(r"\{\w+\}", "", t) for t in TEMPLATES)
    lists = COLOURS + DIGITS + TEENS + TENS + CITIES + PEOPLE + DAYS + THINGS + DRINKS + WEATHER + SHOPS + pictures()
    return sorted(set((text + " " + " ".join(lists)).lower().split()) | set("abcdefghijklmnopqrstuvwxyz"))
