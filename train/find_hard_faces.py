#!/usr/bin/env python3
"""Which of training's faces the present model reads badly where they are small: hard_faces.txt, by which training picks
them oftener (glyphs.hard_faces).

usage: find_hard_faces.py [--tessera PATH] [--model DIR] [--pictures N] [--jobs N]
For each face N pictures of one to three lines of text of 20 to 27 px, with training's looks, drawn as no held-out set is.
Each line of the file: share of characters read wrongly, file of the face.
"""
import argparse, concurrent.futures, os, random, sys, tempfile
import numpy as np
import glyphs, heldout_skills, skill_scores, tasks


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--tessera", default=os.path.join(glyphs.HERE, "..", "build", "release", "tessera"))
    a.add_argument("--model")
    a.add_argument("--pictures", type=int, default=2)
    a.add_argument("--jobs", type=int, default=2)
    a = a.parse_args()
    a.threads = 1
    w, h = heldout_skills.W, heldout_skills.H
    with tempfile.TemporaryDirectory() as folder:

        def wrong(face):
            atlas, errors, count = glyphs.Atlas([face]), 0, 0
            for i in range(a.pictures):
                t = tasks.Tasks(random.Random(f"hard {face['file']} {i}"), atlas)
                e = t.example("lines", w, h, heldout_skills.ROOM, count=3, least=20, small=1)
                stem = os.path.join(folder, f"{face['file']}-{i}")
                record = heldout_skills.save(e, stem, np.random.default_rng(i))
                answer, _ = skill_scores.ask(a, dict(record, image=stem + ".png"))
                os.remove(stem + ".png")
                errors += skill_scores.edits(e.answer, answer)
                count += len(e.answer)
            return errors, count, face["file"]

        with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
            got = list(pool.map(wrong, glyphs.load_faces(False)))
    total, count = sum(e for e, _, _ in got), sum(n for _, n, _ in got)
    with open(glyphs.HARD_FACES, "w") as f:
        f.write("# share of characters read wrongly at 20 to 27 px, file of the face (find_hard_faces.py)\n")
        f.writelines(f"{e / n:.3f} {file}\n" for e, n, file in sorted(got, key=lambda x: x[2]))
    print(f"{total} of {count} characters wrong, {total / count:.1%}")


if __name__ == "__main__":
    sys.exit(main())
