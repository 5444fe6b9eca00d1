"""Held-out examples of every skill as files: pictures, sounds, prompts, wanted answers. Example i of a skill is a
function of i alone.

Held out are font families, cities, the OpenMoji style, eight voices of espeak-ng, the wording of foreign tasks, and,
as sets of their own, another synthesiser (flite) and a real voice (Asterisk's prompts), where they are installed.
"""
import glob, json, os, random, re, subprocess, wave
import numpy as np
from PIL import Image
import boards, glyphs, grammar, heldout, looks, pictures, sounds, speech, tasks
from model import PATCH

W, H = heldout.SEEN_AS_IS
ROOM = 400  # ids of a prompt and its answer, besides the picture's


def save_wav(path, x, rate=sounds.RATE):
    with wave.open(path, "wb") as f:
        f.setnchannels(1)
        f.setsampwidth(2)
        f.setframerate(rate)
        f.writeframes(np.clip(np.rint(x * 32767), -32768, 32767).astype("<i2").tobytes())


def save(e, stem, rng):
    """Write an Example's picture and sound; returns its record."""
    record = dict(prompt=e.question, answer=e.answer)
    if e.drawing is not None:
        image = looks.picture(e.drawing.bytes(), e.palette, e.camera, rng)
    elif e.colour is not None:
        image = e.colour
    else:
        image = None
    if image is not None:
        Image.fromarray(image).save(stem + ".png", compress_level=1)
        record["image"] = os.path.basename(stem) + ".png"
    if e.sound is not None:
        save_wav(stem + ".wav", e.sound)
        record["audio"] = os.path.basename(stem) + ".wav"
    return record


class Maker:
    """Draws examples with held-out material; seen: with training's own pictures or fonts."""

    def __init__(self, held=True, style=None):
        self.atlas = glyphs.Atlas(glyphs.load_faces(held))
        styles = (pictures.HELD_STYLE,) if held else pictures.ASKED_STYLES
        self.sheets, self.voices, self.held = pictures.Sheets(styles), dict(espeak=speech.Synthesiser()), held

    def tasks(self, seed):
        return tasks.Tasks(random.Random(seed), self.atlas, self.sheets, self.voices, self.held)


# skill: (how many, held, function of Tasks -> Example)
SKILLS = {
    "lines": (60, True, lambda t: t.example("lines", W, H, ROOM, least=20, count=4)),
    "lines seen": (90, False, lambda t: t.example("lines", W, H, ROOM, least=20, count=4)),
    "ask": (100, True, lambda t: t.example("ask", W, H, ROOM, least=24)),
    "pictures": (100, False, lambda t: named(t)),
    "pictures unseen": (60, True, lambda t: named(t)),
    "speech": (100, True, lambda t: t.example("transcript", 0, 0, ROOM, rough=0.6)),
    "spoken": (60, True, lambda t: t.example("spoken", W, H, ROOM)),
    "refuse": (200, True, lambda t: refused(t)),
}
REFUSALS = ("texture", "unreadable", "no_speech", "foreign_shown", "foreign_text")


def named(t):
    """One to four pictures and where they are."""
    while True:
        e = t.example("scene", W, H, ROOM)
        if e.question in pictures.WHAT and ": " in e.answer:
            return e


def refused(t):
    return t.example(t.r.choice(REFUSALS), W, H, ROOM)


def write(skill, folder, count=None):
    """The records of a skill, drawn into `folder` where they are not there yet."""
    index = os.path.join(folder, "index.json")
    if not os.path.exists(index):
        os.makedirs(folder, exist_ok=True)
        n, held, make = SKILLS[skill]
        maker, records = Maker(held), []
        for i in range(n):
            e = make(maker.tasks(f"{skill} {i}"))
            records.append(save(e, os.path.join(folder, f"{i:03}"), np.random.default_rng(i)))
        with open(index, "w") as f:
            json.dump(records, f, ensure_ascii=False, indent=0)
    with open(index) as f:
        records = json.load(f)
    for r in records:
        for kind in ("image", "audio"):
            if kind in r:
                r[kind] = os.path.join(folder, r[kind])
    return records[:count]


def flite(folder, count=60):
    """Sentences by flite's voice rms (Debian package flite), which training never hears."""
    index = os.path.join(folder, "index.json")
    if not os.path.exists(index):
        os.makedirs(folder, exist_ok=True)
        records = []
        for i in range(count):
            r = random.Random(f"flite {i}")
            text = grammar.sentence(r)
            path = os.path.join(folder, f"{i:03}.wav")
            subprocess.run(["flite", "-voice", "rms", "-t", grammar.spelled(text), "-o", path], check=True)
            records.append(dict(prompt="Transcribe this.", answer=text, audio=f"{i:03}.wav"))
        with open(index, "w") as f:
            json.dump(records, f, indent=0)
    with open(index) as f:
        return [dict(r, audio=os.path.join(folder, r["audio"])) for r in json.load(f)][:count]


def photographs(folder, photos_dir, count=48):
    """Pieces of photographs (Debian package mate-backgrounds), which training never sees: nothing to name or to read."""
    index = os.path.join(folder, "index.json")
    paths = sorted(glob.glob(os.path.join(photos_dir, "*.jpg")))
    if not paths:
        raise SystemExit(f"evaluate: no photographs in {photos_dir}: install mate-backgrounds, or give --photos")
    if not os.path.exists(index):
        os.makedirs(folder, exist_ok=True)
        records = []
        for i in range(count):
            r = random.Random(f"photograph {i}")
            photo = Image.open(paths[i % len(paths)]).convert("RGB")
            width = (1.0 if i < len(paths) else r.uniform(0.4, 0.9)) * min(photo.width, photo.height * W / H)
            x, y = r.uniform(0, photo.width - width), r.uniform(0, photo.height - width * H / W)
            piece = photo.resize((W, H), Image.BICUBIC, (x, y, x + width, y + width * H / W))
            piece.save(os.path.join(folder, f"{i:03}.jpg"), quality=90)
            naming = r.random() < 0.6
            prompt = r.choice(pictures.WHAT) if naming else r.choice(boards.TEXT_QUESTIONS + boards.BOARD_QUESTIONS)
            answer = tasks.NOTHING_SEEN if naming else tasks.UNREADABLE
            records.append(dict(prompt=prompt, answer=answer, image=f"{i:03}.jpg"))
        with open(index, "w") as f:
            json.dump(records, f, indent=0)
    with open(index) as f:
        return [dict(r, image=os.path.join(folder, r["image"])) for r in json.load(f)][:count]


def real_voice(folder, sounds_dir, count=100):
    """Digits and letters of Asterisk's recorded prompts (Debian package asterisk-core-sounds-en-g722), evaluation only.

    sounds_dir: the folder that holds digits/ and letters/.
    """
    records = []
    names = [(f"digits/{d}", grammar.number(d)) for d in range(20)]
    names += [(f"digits/{d}", grammar.TENS[d // 10 - 2]) for d in (20, 30, 40, 50)]
    names += [(f"letters/{c}", c) for c in "abcdefghijklmnopqrstuvwxyz"]
    os.makedirs(folder, exist_ok=True)
    for i in range(count):
        r = random.Random(f"real {i}")
        chosen = [r.choice(names) for _ in range(r.randrange(1, 4))]
        path, parts = os.path.join(folder, f"{i:03}.wav"), []
        for name, _ in chosen:
            raw = subprocess.run(
                ["ffmpeg", "-v", "error", "-f", "g722", "-i", os.path.join(sounds_dir, name + ".g722"), "-f", "s16le", "-"],
                check=True,
                capture_output=True,
            ).stdout
            parts.append(np.frombuffer(raw, "<i2").astype(np.float32) / 32768)
        save_wav(path, np.concatenate(parts))
        records.append(dict(prompt="Transcribe this.", answer=" ".join(w for _, w in chosen), audio=path))
    return records
