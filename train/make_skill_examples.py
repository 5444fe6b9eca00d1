"""Draw and speak the examples that are no boards: examples/pictures.png, clouds.jpg, digits.wav, announcement.wav and
question.wav (about departures.png). Pictures are Fluent Emoji (Microsoft, MIT); the voices of espeak-ng are
among those that training never heard. Needs train/data (see prepare) and rsvg-convert.
"""
import os, random, tempfile
import numpy as np
from PIL import Image
import grammar, heldout_skills, pack_pictures, pictures, speech
from heldout_skills import H, W

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "examples")
SHOWN = {"fox": (0, 0), "bicycle": (2, 0), "rocket": (0, 2), "strawberry": (2, 2)}  # label: column, row
# file: sentence of grammar.py, and who says it: accent, variant, words a minute, pitch, its range
SAID = {
    "digits.wav": ("two seven one eight two eight", ("en-GB-x-rp", "david", 150, 45, 50)),
    "announcement.wav": (
        "l h nine zero two to frankfurt is now boarding at gate b one two", ("en-US", "steph", 150, 55, 50)
    ),
    "question.wav": ("where does k l one zero zero eight go", ("en-US", "belinda", 145, 50, 50)),
}


def card(work):
    """Pictures on a sheet of paper, where scenes of training have theirs: in three by three places."""
    icons = pack_pictures.unpack(pack_pictures.fetch(os.path.join(HERE, "data", "npm")), work)
    draw = pack_pictures.Vectors(icons["@iconify-json/fluent-emoji-flat"], 0, work).draw
    rng = np.random.default_rng(7)
    paper = 241 + pictures.octaves(rng, W, H, 1, 4, 1) * 3 + np.array([3, 0, -9])
    im = Image.fromarray(np.clip(paper, 0, 255).astype(np.uint8))
    size = 190
    for label, (column, row) in SHOWN.items():
        picture = draw(label).convert("RGBA").resize((size, size), Image.LANCZOS)
        im.paste(picture, (int((column + 0.5) * W / 3 - size / 2), int((row + 0.5) * H / 3 - size / 2)), picture)
    return im


def clouds():
    """A sky and a meadow: nothing to read or to name."""
    return Image.fromarray(pictures.texture(random.Random(11), W, H))


def main():
    with tempfile.TemporaryDirectory() as work:
        card(work).quantize(128, dither=Image.Dither.NONE).save(os.path.join(OUT, "pictures.png"), optimize=True)
    clouds().save(os.path.join(OUT, "clouds.jpg"), quality=85)
    synthesiser = speech.Synthesiser()
    for file, (text, voice) in SAID.items():
        heldout_skills.save_wav(os.path.join(OUT, file), synthesiser.say(grammar.spelled(text), *voice)[0])


if __name__ == "__main__":
    main()
