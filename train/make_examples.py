"""Draw examples/: departures boards in held-out font families, none in the training set, and boards.json.

The layouts are this file's own, not those of boards.py; Pillow sets the text with the fonts' kerning. Text is
24 px (em) or more where the model sees it. Needs train/data (see prepare).
"""
import json, os
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
import looks

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "examples")
with open(os.path.join(HERE, "data", "faces.json")) as faces:
    FACES = {(f["family"], f["style"]): f["file"] for f in json.load(faces) if f["held"]}
HEADS = dict(time="Time", flight="Flight", dest="Destination", gate="Gate", status="Status")
GREEN, RED, ORANGE = (90, 220, 120), (255, 90, 80), (255, 180, 60)
TRAFFIC = dict(Boarding=GREEN, Cancelled=RED, Delayed=ORANGE, Last=ORANGE, Final=ORANGE)
FIVE = (.035, .165, .325, .615, .735)  # left edges of five columns, as shares of the width


def font(family, style, px):
    return ImageFont.truetype(os.path.join(HERE, "data", "fonts", FACES[family, style]), px)


def gradient(w, h, top, bottom):
    t = np.linspace(0, 1, h)[:, None, None]
    a = np.array(top) * (1 - t) + np.array(bottom) * t
    return Image.fromarray(np.broadcast_to(a, (h, w, 3)).astype(np.uint8))


def draw(size, order, rows, face, px, paper, ink, xs=FIVE, title="", clock="", title_style=None, bar=None,
         bar_ink=None, head_ink=None, zebra=None, rule=None, states=None, accents=None, start=None,
         pitch=None, caps=False):
    """One board. paper: colours at the top and the bottom; head_ink: None leaves the columns' names out;
    states: first word of a status -> its colour; accents: column -> colour."""
    (w, h), (family, style), x = size, face, [round(v * size[0]) for v in xs]
    im = gradient(w, h, *paper)
    d, f = ImageDraw.Draw(im), font(family, style, px)
    tf = font(family, title_style or style, round(px * 1.6))
    y = px * 2.8
    if bar:
        d.rectangle([0, 0, w, y], fill=bar)
    d.text((x[0], y / 2), title, font=tf, fill=bar_ink or ink, anchor="lm")
    d.text((w - x[0], y / 2), clock, font=tf, fill=bar_ink or ink, anchor="rm")
    y = y + px * .5 if start is None else start
    if head_ink:
        for column, left in zip(order, x):
            name = HEADS[column].upper() if caps else HEADS[column]
            d.text((left, y), name, font=font(family, style, round(px * .72)), fill=head_ink)
        y += px * 1.35
    pitch = pitch or (h - y - px * .4) / len(rows)
    for j, row in enumerate(rows):
        if zebra and j % 2 == 0:
            d.rectangle([0, y, w, y + pitch - 1], fill=zebra)
        if rule:
            d.line([x[0], y + pitch - 1, w - x[0], y + pitch - 1], fill=rule, width=max(1, h // 500))
        for column, left, s in zip(order, x, row):
            fill = (accents or {}).get(column, ink)
            if column == "status":
                fill = (states or {}).get(s.split()[0], ink)
            d.text((left, y + pitch / 2), s, font=f, fill=fill, anchor="lm")
        y += pitch
    return im


def flaps(size, order, rows, face, px, cells, starts, title):
    """A split-flap board: one dark flap a character; cells: letters a column; starts: left edges."""
    w, h = size
    im = gradient(w, h, (38, 38, 40), (24, 24, 26))
    d, f, yellow, white = ImageDraw.Draw(im), font(*face, px), (245, 205, 60), (240, 240, 235)
    cw, ch = round(px * .74), round(px * 1.34)
    d.text((starts[0], round(px * .7)), title, font=font(*face, round(px * 1.25)), fill=yellow)
    y = round(px * 2.9)
    for row in rows:
        for column, left, n, s in zip(order, starts, cells, row):
            for i in range(n):
                x = left + i * (cw + 3)
                d.rounded_rectangle([x, y, x + cw, y + ch], 3, fill=(10, 10, 11))
                ink = yellow if column == "status" else white
                d.text((x + cw / 2, y + ch / 2), s[i:i + 1], font=f, fill=ink, anchor="mm")
                d.line([x, y + ch // 2, x + cw, y + ch // 2], fill=(24, 24, 26), width=1)
        y += ch + round(px * .62)
    return im


def led(im, period=3):
    """An LED matrix in front of the picture."""
    a = np.asarray(im).astype(np.float32)
    y, x = np.mgrid[0:a.shape[0], 0:a.shape[1]]
    a[(x % period == 0) | (y % period == 0)] *= .55
    return Image.fromarray(a.astype(np.uint8))


def photograph(im, corners, wall, seed, noise):
    """The board on a wall, from one side, a little soft and noisy. corners: shares of width and height."""
    w, h = im.size
    corners = [(x * w, y * h) for x, y in corners]
    hom = tuple(looks.homography(corners, [(0, 0), (w, 0), (w, h), (0, h)]))
    board = im.transform((w, h), Image.PERSPECTIVE, hom, Image.BICUBIC)
    mask = Image.new("L", (w, h), 255).transform((w, h), Image.PERSPECTIVE, hom, Image.BILINEAR)
    out = Image.composite(board, gradient(w, h, wall, [c * .7 for c in wall]), mask)
    a = np.asarray(out.filter(ImageFilter.GaussianBlur(.7))).astype(np.float32)
    rng = np.random.default_rng(seed)
    a = a * np.linspace(.92, 1.06, w)[None, :, None] + rng.normal(0, noise, (h, w, 1))
    a += rng.normal(0, noise / 2, (h, w, 3))
    return Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))


# file, columns, face, rows; a star marks an invented place
BOARDS = """
departures.png; time flight dest gate status; B612, Bold
10:25|LH902|Frankfurt|B12|Boarding
10:45|BA117|New York|B22|On time
11:05|AF1681|Paris CDG|A7|Last call
11:20|KL1008|Amsterdam|A15|On time
11:35|JU213|Ljubljana|C3|Delayed 12:10
11:50|IB3167|Madrid|B9|Gate open
12:15|FI451|Reykjavik|C18|On time

splitflap.png; time flight dest gate status; Fira Code, Medium
07:15|SQ305|SINGAPORE|E4|BOARDING
07:30|TG917|PHUKET|E11|ON TIME
07:40|QF010|PERTH|E9|LAST CALL
08:05|NH212|HIROSHIMA|D2|DELAYED
08:20|EK004|DUBAI|E15|ON TIME
08:55|CX252|HONG KONG|D7|ON TIME

amber.png; time dest gate status; IBM 3270, Regular
14:02|Leicester|4|On time
14:09|Nottingham|2|14:15
14:18|Sheffield|5|On time
14:26|York|1|Cancelled
14:33|Edinburgh|3|On time
14:41|Leeds|2|Delayed

daylight.png; time flight dest gate status; Lato, Regular
06:10|VY8461|Barcelona|12|Go to gate
06:25|EI331|Dublin|14|Boarding
06:40|TP535|Lisbon|9|On time
06:55|LX979|Zürich|11|On time
07:05|SK688|Göteborg|16|Delayed
07:20|OS232|Vienna|10|On time
07:35|AY1432|Helsinki|18|On time
07:50|U28843|Bristol|21|Wait in lounge

railway.png; time dest flight gate status; Karla, Bold
16:04|Grenoble|TGV 6921|7|On time
16:12|Lyon|TGV 6617|3|On time
16:20|Dijon|IC 5941|11|10 min late
16:31|Lille|TGV 7053|5|On time
16:46|Strasbourg|TGV 2437|9|Boarding
16:58|Nantes|IC 8819|2|Cancelled

night.png; time flight dest gate status; Jura, Bold
22:05|NZ5|Auckland|61|On time
22:20|QF93|Melbourne|64|Boarding
22:45|JL61|Osaka|58|On time
23:10|BR11|Taipei|60|Delayed
23:30|LA603|Guayaquil|66|On time
23:55|AM647|Guadalajara|69|Gate closed

enamel.png; time dest gate; Vollkorn, Regular
8:15 AM|Lucerne|1
9:40 AM|Trieste|2
11:05 AM|Maastricht|4
1:30 PM|Bruges|1
4:50 PM|Salzburg|3

terminal.png; flight dest time gate status; JetBrains Mono, Regular
DL208|Savannah|17:25|C40|On time
UA1175|Cincinnati|17:40|C28|Boarding
AA2391|Pittsburgh|17:55|C31|Delayed
B6633|Orlando|18:05|C12|On time
WN417|Nashville|18:20|C5|On time
AC8964|Edmonton|18:35|C22|Cancelled
F91482|Denver|18:50|C9|On time

hall.jpg; time flight dest gate status; Open Sans, Bold
12:05|TK1986|Istanbul|A4|Boarding
12:20|LO282|Warsaw|A9|On time
12:35|OU491|Zagreb|B3|On time
12:50|RO392|Bucharest|B7|Delayed 13:25
13:10|A3611|Thessaloniki|B1|On time
13:25|BT652|Riga|A12|Gate open

corridor.jpg; time flight dest gate status; Roboto Slab, Regular
18:10|ET701|Addis Ababa|22|On time
18:35|KQ101|Nairobi|25|Boarding
18:50|SA235|Windhoek|27|Last call
19:15|MS778|Cairo|21|On time
19:40|TM512|Maputo|29|On time

harbour.png; time dest gate status; League Spartan, Regular
09:00|Zanzibar|Q2|Boarding
10:30|*Kallisto Bay|Q1|On time
11:15|*Port Ovrel|Q4|On time
12:45|*Sundry Isle|Q3|Delayed
14:00|*Nordhavn|Q2|On time

invented.png; time flight dest gate status; Cabin, Bold
05:31|XQ418|*Vrembolt|K7|On time
06:02|ZJ93|*Quaxen|K12|Boarding
06:44|HW2207|*Tjolmig|L3|On time
07:19|PV660|*Drusky|L18|Delayed 07:45
08:08|YD15|*Fenwarq|K2|On time
08:57|NB3384|*Oziplan|L9|Last call
09:26|GK741|*Brynothu|K5|On time

crimson.png; time flight dest gate status; Play, Regular
13:00|CA856|Beijing|36|On time
13:25|MU588|Shanghai|33|Boarding
13:50|HU7963|Tashkent|31|On time
14:15|KC942|Almaty|38|Delayed 15:00
14:40|MH003|Kathmandu|35|On time
15:05|GA087|Jakarta|40|Check-in
15:30|VN050|Hanoi|32|On time
15:55|PR721|Manila|34|On time

coach.png; dest time gate status; Oxygen-Sans, Sans-Book
Oxford|10:10|14|Boarding
Heathrow|10:20|9|On time
Brighton|10:30|17|On time
Norwich|10:45|3|Delayed
Cambridge|11:00|6|On time
Exeter|11:15|12|On time
"""

FRAMES = {  # how each board looks: arguments of draw
    "departures": dict(size=(1280, 720), px=36, paper=((10, 22, 48), (6, 12, 28)), ink=(244, 246, 250),
                       title="Departures", clock="10:12", bar=(250, 200, 30), bar_ink=(12, 20, 40),
                       head_ink=(140, 170, 220), zebra=(20, 36, 70), states=TRAFFIC,
                       accents=dict(gate=(250, 200, 30))),
    "amber": dict(size=(960, 672), px=50, paper=((16, 12, 8), (16, 12, 8)), ink=(255, 176, 20), start=40,
                  pitch=98, xs=(.04, .24, .58, .70)),
    "daylight": dict(size=(1280, 720), px=36, paper=((252, 253, 255), (236, 240, 246)), ink=(24, 32, 48),
                     title="Departures", clock="06:02", title_style="Bold", bar=(0, 84, 150),
                     bar_ink=(255, 255, 255), head_ink=(90, 110, 140), rule=(205, 212, 222),
                     states=dict(Boarding=(0, 120, 50), Delayed=(190, 60, 0), Go=(0, 120, 50))),
    "railway": dict(size=(1920, 1080), px=62, paper=((0, 38, 92), (0, 28, 70)), ink=(255, 255, 255),
                    xs=(.03, .17, .44, .66, .75), title="Trains au départ", clock="15:58", bar=(0, 70, 150),
                    rule=(40, 80, 140), accents=dict(time=(255, 222, 60), gate=(255, 222, 60))),
    "night": dict(size=(1280, 720), px=40, paper=((0, 24, 28), (0, 8, 12)), ink=(120, 240, 225),
                  title="International departures", head_ink=(60, 150, 145), rule=(10, 60, 62)),
    "enamel": dict(size=(960, 672), px=48, paper=((244, 236, 214), (232, 222, 196)), ink=(30, 62, 44),
                   xs=(.08, .36, .80), title="Motor coaches", bar=(30, 62, 44), bar_ink=(244, 236, 214),
                   rule=(150, 150, 120)),
    "terminal": dict(size=(1280, 720), px=36, paper=((8, 14, 8), (4, 8, 4)), ink=(90, 240, 120),
                     title="DEPARTURES", xs=(.035, .19, .45, .60, .72), caps=True, head_ink=(50, 150, 80)),
    "hall": dict(size=(1280, 960), px=44, paper=((26, 28, 34), (18, 20, 24)), ink=(250, 250, 245),
                 title="Departures", clock="11:48", bar=(70, 74, 84), head_ink=(150, 155, 165),
                 states=TRAFFIC, zebra=(40, 43, 50)),
    "corridor": dict(size=(1600, 1000), px=58, paper=((240, 200, 40), (226, 186, 30)), ink=(20, 20, 20),
                     title="Terminal 2", clock="18:02", bar=(20, 20, 20), bar_ink=(240, 200, 40),
                     rule=(180, 148, 20)),
    "harbour": dict(size=(1280, 720), px=50, paper=((12, 84, 120), (6, 52, 84)), ink=(255, 255, 255),
                    xs=(.05, .20, .58, .72), title="Ferries", clock="08:47", bar=(240, 244, 246),
                    bar_ink=(6, 52, 84), states=dict(Boarding=(160, 255, 180), Delayed=(255, 210, 120))),
    "invented": dict(size=(1280, 720), px=38, paper=((48, 22, 64), (30, 12, 44)), ink=(255, 250, 240),
                     title="Somewhere else", bar=(255, 120, 90), bar_ink=(40, 12, 50),
                     head_ink=(190, 150, 210), zebra=(64, 34, 82)),
    "crimson": dict(size=(1024, 768), px=32, paper=((120, 10, 24), (86, 6, 16)), ink=(255, 240, 225),
                    xs=(.03, .155, .325, .60, .70), title="DEPARTURES", clock="12:41", bar=(60, 4, 10),
                    caps=True, head_ink=(250, 190, 150), zebra=(136, 22, 36)),
    "coach": dict(size=(1440, 900), px=54, paper=((246, 246, 244), (232, 232, 228)), ink=(28, 28, 30),
                  xs=(.05, .40, .58, .70), title="Coach departures", clock="10:04", bar=(0, 120, 90),
                  bar_ink=(255, 255, 255), rule=(190, 190, 186),
                  states=dict(Boarding=(0, 120, 60), Delayed=(200, 40, 20))),
}


def picture(name, order, rows, face):
    if name == "splitflap":
        starts = (26, 226, 426, 766, 900)
        return flaps((1280, 720), order, rows, face, 42, (5, 5, 9, 3, 9), starts, "DEPARTURES")
    im = draw(order=order, rows=rows, face=face, **FRAMES[name])
    if name == "amber":
        return led(im)
    if name == "hall":
        return photograph(im, [(.03, .05), (.975, .02), (.985, .97), (.02, .93)], (150, 140, 126), 3, 5)
    if name == "corridor":
        return photograph(im, [(.02, .02), (.97, .05), (.98, .95), (.03, .985)], (92, 104, 112), 5, 4)
    return im


def main():
    os.makedirs(OUT, exist_ok=True)
    index = []
    for block in BOARDS.strip().split("\n\n"):
        head, *rows = block.split("\n")
        file, order, face = head.split("; ")
        order, face, rows = order.split(), face.split(", "), [row.split("|") for row in rows]
        place = order.index("dest")
        invented = [row[place].startswith("*") for row in rows]
        rows = [[field.lstrip("*") for field in row] for row in rows]
        im = picture(file.split(".")[0], order, rows, face)
        path = os.path.join(OUT, file)
        im.save(path, **(dict(quality=88) if file.endswith("jpg") else dict(optimize=True)))
        record = dict(width=im.width, height=im.height, font=face[0], order=order, random=invented, rows=rows)
        index.append(f"{json.dumps(file)}: {json.dumps(record, ensure_ascii=False)}")
    with open(os.path.join(OUT, "boards.json"), "w") as f:
        f.write("{\n" + ",\n".join(index) + "\n}\n")
    print(len(index), "examples")


if __name__ == "__main__":
    main()
