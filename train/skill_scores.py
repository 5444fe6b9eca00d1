"""Scores of the engine on the skills of heldout_skills.py; called by evaluate --skill."""
import concurrent.futures, json, os, subprocess, sys, time
import heldout_skills

REFUSAL = "I cannot"
MOST_TOKENS = 400
# share that must be right, or for those measured in errors the most that may be wrong
LEAST = {"ask": 0.92, "pictures": 0.85, "pictures unseen": 0.30, "spoken": 0.70, "refuse": 0.90, "photographs": 0.90}
MOST = {"lines": 0.04, "lines seen": 0.02, "speech": 0.08, "flite": 0.30}
HEARD = ("speech", "flite", "real voice")
REFUSED = ("refuse", "photographs")
EXTRA = ("flite", "real voice", "photographs")  # sets that want other packages
STOPS = 0.995


def edits(a, b):
    """Levenshtein distance of two sequences."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def records(skill, out, a):
    folder, count = os.path.join(out, skill.replace(" ", "-")), a.count
    if skill == "flite":
        return heldout_skills.flite(folder)[:count]
    if skill == "real voice":
        return heldout_skills.real_voice(folder, a.sounds)[:count]
    if skill == "photographs":
        return heldout_skills.photographs(folder, a.photos)[:count]
    return heldout_skills.write(skill, folder, count)


def ask(a, r):
    """(answer, did it stop by itself) of the engine."""
    command = [a.tessera, "run", "--json", "--temp", "0", "--max-tokens", str(MOST_TOKENS)]
    command += ["--model", a.model] if a.model else []
    command += ["--threads", str(a.threads)] if a.threads else []
    for kind in ("image", "audio"):
        command += ["--" + kind, r[kind]] if kind in r else []
    p = subprocess.run(command + [r["prompt"]], capture_output=True, text=True)
    if p.returncode:
        sys.exit(f"evaluate: {' '.join(command)}: {p.stderr.strip()}")
    reply = json.loads(p.stdout)
    return reply["text"].strip("\n"), reply["finish_reason"] == "stop"


def pairs(text):
    """{place: name} of an answer about a picture."""
    return {p: n for p, _, n in (line.partition(": ") for line in text.split("\n"))}


def compare(skill, want, got):
    """(right or wrong units, units): characters, words, pictures with their places, or whole answers."""
    if skill.startswith("lines"):
        return edits(want, got), len(want)
    if skill in HEARD:
        return edits(want.split(), got.lower().split()), len(want.split())
    if skill.startswith("pictures"):
        w, g = pairs(want), pairs(got)
        return sum(g.get(p) == n for p, n in w.items()), max(len(w), len(g))
    if skill in REFUSED:
        return int(got.startswith(REFUSAL)), 1
    return int(want == got), 1


def score(a, skill):
    """Print the score of one skill; returns the answers."""
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "out", "skills")
    rows, start = records(skill, out, a), time.time()
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        answers = list(pool.map(lambda r: ask(a, r), rows))
    n = [compare(skill, r["answer"], text) for r, (text, _) in zip(rows, answers)]
    part, whole = sum(x for x, _ in n), max(1, sum(y for _, y in n))
    exact = sum(r["answer"] == text for r, (text, _) in zip(rows, answers))
    refused = sum(text.startswith(REFUSAL) for text, _ in answers)
    meant = sum(r["answer"].startswith(REFUSAL) for r in rows)
    stopped = sum(stop for _, stop in answers)
    errors = skill in MOST or skill == "real voice"
    bar = MOST.get(skill, LEAST.get(skill))
    ok = bar is None or (part <= bar * whole if errors else part >= bar * whole)
    print(
        f"{skill}: {part} of {whole} {'wrong' if errors else 'right'} = {part / whole:.1%}"
        + (f" (bar {bar:.0%}: {'met' if ok else 'missed'})" if bar is not None else "")
        + f"; exact answers {exact} of {len(rows)}; refused {refused}, meant {meant}; stopped by itself {stopped}; "
        f"{(time.time() - start) / max(1, len(rows)) * a.jobs:.1f} s each"
    )
    bad = [(r, text) for r, (text, _) in zip(rows, answers) if text != r["answer"]]
    for r, text in bad[: a.show]:
        file = os.path.basename(r.get("image", r.get("audio", "")))
        print(f"  {file} {r['prompt'][:60]!r}\n    want {r['answer']!r}\n    got  {text!r}")
    return ok, [dict(r, got=text, stopped=stop) for r, (text, stop) in zip(rows, answers)]


def main(a):
    names = [*heldout_skills.SKILLS, *EXTRA] if a.skill == "all" else [a.skill]
    results = {skill: score(a, skill) for skill in names}
    if a.json:
        with open(a.json, "w") as f:
            json.dump({k: v for k, (_, v) in results.items()}, f, ensure_ascii=False, indent=0)
    return 0 if all(ok for ok, _ in results.values()) else 1
