"""Training examples by task: what is asked, shown, heard and answered.

An Example's pictures and sounds are as they will be sent: a drawing with its looks (looks.py), a colour image, or
frames of sound. Tasks that cannot be drawn at once draw again until the example fits.
"""
import random
import numpy as np
import boards, corpus, grammar, looks, pictures, questions, sounds, tokenizer
from model import PATCH

TRANSCRIBE = ["Transcribe this."] * 3 + ["Transcribe the speech.", "What is said?", "Write down what you hear."]
# docs/spec/tokenizer.md, 6: the published prompt, which asks for digits
PUBLISHED = """Transcribe the following speech segment in {0} into {0} text.

Follow these specific instructions for formatting the answer:
* Only output the transcription, with no newlines.
* When transcribing numbers, write the digits, i.e. write 1.7 and not one point seven, and write 3 instead of three."""
ANSWER = ["Answer the question.", "Answer the question.", "Answer the spoken question."]
UNREADABLE, NOTHING_SEEN = "I cannot read this.", "I cannot make out anything here."
NO_SPEECH, NO_PICTURE, FOREIGN = "I cannot hear any speech.", "I cannot see a picture.", "I cannot do that."
FOREIGN_TASKS = corpus.listed(
    "Write a poem.,Write a poem about the sea.,Tell me a joke.,Tell me a story.,What is the capital of {w}?,Who are you?,"
    "Who is the president of {w}?,Translate this into German.,Translate it to French.,How much does a ticket cost?,"
    "Write a function that sorts a list.,What is {n} plus {n}?,What is {n} times {n}?,Summarise the history of {w}.,"
    "How is the weather in {w}?,What do you think?,Explain quantum mechanics.,What is the meaning of {w}?,"
    "Write an email to my boss.,Give me a recipe for {w}.,How do I get to {w}?,Is it going to rain?,Play some music.,"
    "What year is it?,Who wrote this?,Do you like {w}?,Recommend a restaurant.,Sing a song.,What is a {w}?,"
    "How old is {w}?,Why is the sky blue?,Draw a {w}.,Count to {n}.,Spell {w} backwards.,Hello!,Hi there.,How are you?,"
    "Can you help me with {w}?,What is the best {w}?,Define {w}.,Continue: {w} {w} {w}.,Book a flight to {w}."
)
# for the evaluation only
HELD_FOREIGN = corpus.listed(
    "Write a limerick about trains.,What is the capital of Norway?,Translate the sentence into Spanish.,Solve x + 4 = 9.,"
    "Who painted the Mona Lisa?,What should I eat tonight?,Write a Python script.,Tell me about yourself.,"
    "What is the square root of 16?,Explain gravity to a child.,Give me three ideas for a party.,Where can I buy shoes?,"
    "How do airplanes fly?,What happened in 1969?,Write a letter to my landlord.,Is this a good price?,Make me laugh.,"
    "What is love?,Compare cats and dogs.,Turn off the lights."
)
# synthesiser: share of what is heard, recordings kept by a process, and how often one is used. flite takes six times as
# long as espeak-ng.
POOLS = {"espeak": (0.6, 192, 3), "flite": (0.4, 192, 9)}
FLITE_AT_ONCE = 0.12  # share where a recording can be used once only
OTHER_VOICE = 0.6  # share of recordings in training that sounds.other_voice changes
SOUND_FIRST = 0.3  # share of training's sounds that stand before the text
LEAST_SIZES = (18, 20, 20, 22, 22, 24, 24)


class Example:
    """start, end: ids around the picture's soft tokens; answer: text; marks, asked_marks: which of the drawing's
    characters each character of the answer and of the question repeats, -1 where it repeats none; said: a question
    that is heard.
    """

    def __init__(self, question, answer, image=True, sound=None, phones=None, marks=(), asked_marks=(), sound_first=False):
        count = 0 if sound is None else sounds.needed(sound)
        self.start, self.end = tokenizer.prompt(question, image, count, sound_first)
        self.answer, self.ids, self.question = answer, boards.tokens(answer), question
        # ids before an answer, their marks, its ids, their marks
        self.turns = [(self.end, asked_points(self.end, question, asked_marks), self.ids, pointed(self.ids, marks))]
        self.sound, self.phones = sound, phones
        self.drawing = self.corners = self.colour = self.palette = self.camera = self.things = self.said = None

    def length(self):
        """Ids behind the picture."""
        return sum(len(asked) + len(ids) for asked, _, ids, _ in self.turns)

    def then(self, room, question, answer, marks=(), asked_marks=()):
        """A further question in the same chat, if all of it is `room` ids at most: is it?"""
        asked, ids = tokenizer.further(question), boards.tokens(answer)
        if self.length() + len(asked) + len(ids) > room:
            return False
        self.turns.append((asked, asked_points(asked, question, asked_marks), ids, pointed(ids, marks)))
        return True

    def drawn(self, canvas, palette, camera, corners):
        self.drawing, self.palette, self.camera, self.corners = canvas, palette, camera, corners
        return self

    def coloured(self, image, camera, things=()):
        self.colour, self.camera, self.things = image, camera, things
        return self


class Tasks:
    """The material of one process. held: what training never sees (families, cities, styles, voices); voices: {name of
    POOLS: synthesiser}, of which espeak alone has voices that are held out.
    """

    def __init__(self, r, atlas, sheets=None, voices=None, held=False, photos=None):
        self.r, self.atlas, self.sheets, self.voices, self.held = r, atlas, sheets, voices, held
        self.photos = photos
        self.said_before = {name: [] for name in POOLS}  # heard several times, each time in another room

    def example(self, task, w, h, room, **options):
        """An example of at most `room` ids besides those before and in the picture."""
        while True:
            e = getattr(self, task)(w, h, room, **options)
            if e and e.length() <= room:
                return e

    def drawn_board(self, w, h, rows, least, hard, rough, small=0):
        r = self.r
        corners, scale = looks.quad(r, w, h, rough)
        got = boards.board(r, self.atlas, w, h, rows, least / scale, hard, held=self.held, small=small)
        return got and (got, (looks.palette(r), looks.camera(r, w, h, corners, rough), corners))

    def board(self, w, h, room, rows=(2, 10), least=None, rough=1.0, hard=0.45, small=0, text=0, bare=0):
        """text: share asked for as text; bare: share without a question."""
        got = self.drawn_board(w, h, rows, least or self.r.choice(LEAST_SIZES), hard, rough, small)
        if not got:
            return None
        forms = boards.TEXT_QUESTIONS if text and self.r.random() < text else boards.BOARD_QUESTIONS
        question = self.question(forms, bare)
        e = Example(question, boards.answer(got[0].table), marks=got[0].all_marks())
        return e.drawn(got[0].canvas, *got[1])

    def question(self, forms, bare):
        """One of the forms; in a share `bare` of cases none: people drop a picture and send it."""
        return "" if bare and self.r.random() < bare else self.r.choice(forms)

    def lines(self, w, h, room, count=5, least=None, rough=1.0, hard=0.5, alike=0, small=0, bare=0):
        r = self.r
        question = self.question(boards.TEXT_QUESTIONS, bare)
        corners, scale = looks.quad(r, w, h, rough)
        least = (least or r.choice(LEAST_SIZES)) / scale
        got = boards.lines(r, self.atlas, w, h, count, least, room - len(question) - 16, hard, alike, small)
        if not got:
            return None
        look = looks.palette(r), looks.camera(r, w, h, corners, rough), corners
        text = "\n".join(got[1])
        return Example(question, text, marks=boards.shown(text, 0)).drawn(got[0], *look)

    def ask(self, w, h, room, rows=(2, 9), least=None, rough=1.0, hard=0.3, turns=1):
        """turns: how many questions about one board, as far as there is room."""
        got = self.drawn_board(w, h, rows, least or self.r.choice(LEAST_SIZES), hard, rough)
        kinds = questions.KINDS if turns == 1 else questions.TAUGHT
        asked = got and questions.ask(self.r, got[0], kinds=kinds)
        if not asked:
            return None
        e, known = Example(asked.question, asked.answer, **marks_of(got[0], asked)), {asked.question}
        for _ in range(turns - 1):
            more = questions.ask(self.r, got[0], kinds=kinds)
            if more and more.question not in known:
                known.add(more.question)
                if not e.then(room, more.question, more.answer, **marks_of(got[0], more)):
                    break
        return e.drawn(got[0].canvas, *got[1])

    def unreadable(self, w, h, room):
        """Text far too small, or far too coarse."""
        r = self.r
        question = r.choice(boards.TEXT_QUESTIONS + boards.BOARD_QUESTIONS + [questions.ASK_COUNT[0]])
        look = looks.palette(r), looks.camera(r, w, h, None, 1.0), None
        if r.random() < 0.5:
            got = boards.board(r, self.atlas, w, h, (4, 14), 7, 0.4, sizes=(7, 8, 9))
            return got and Example(question, UNREADABLE).drawn(got.canvas, *look)
        got = boards.board(r, self.atlas, w, h, (3, 9), 20, 0.4)
        if not got:
            return None
        coarse(got.canvas, int(got.size * r.uniform(0.55, 0.9)))
        return Example(question, UNREADABLE).drawn(got.canvas, *look)

    def foreign_shown(self, w, h, room):
        """A readable board, and a request that has nothing to do with it."""
        got = self.drawn_board(w, h, (2, 9), 20, 0.3, 1.0)
        return got and Example(self.foreign_task(), FOREIGN).drawn(got[0].canvas, *got[1])

    def foreign_task(self):
        r = self.r
        word = lambda: corpus.word(r) if r.random() < 0.5 else r.choice(corpus.CITIES)
        form = r.choice(HELD_FOREIGN if self.held else FOREIGN_TASKS)
        while "{w}" in form:
            form = form.replace("{w}", word(), 1)
        while "{n}" in form:
            form = form.replace("{n}", str(r.randrange(100)), 1)
        return form

    def scene(self, w, h, room, turns=1, bare=0):
        """turns: how many questions about one picture, as far as there is room; bare: share of those for all names without
        a question.
        """
        r = self.r
        image, things, marks = pictures.scene(r, self.sheets, w, h)
        if r.random() < 0.05:
            question, answer = r.choice(boards.TEXT_QUESTIONS + boards.BOARD_QUESTIONS), UNREADABLE
        elif r.random() < 0.04:
            question, answer = self.foreign_task(), FOREIGN
        else:
            question, answer = pictures.ask(r, things, self.sheets.names)
            if question in pictures.WHAT:
                question = self.question([question], bare)
        e, known = Example(question, answer), {question}
        for _ in range(turns - 1):
            more = pictures.ask(r, things, self.sheets.names, r.uniform(pictures.NAMING, pictures.PLACING))
            if more[0] not in known and e.then(room, *more):
                known.add(more[0])
        return e.coloured(image, looks.camera(r, w, h, None, 0.6), marks)

    def texture(self, w, h, room):
        r = self.r
        image = self.photos.piece(r, w, h) if self.photos and r.random() < 0.5 else pictures.texture(r, w, h)
        reading = r.random() < 0.35
        question = r.choice(boards.TEXT_QUESTIONS + boards.BOARD_QUESTIONS if reading else pictures.WHAT)
        answer = UNREADABLE if reading else NOTHING_SEEN
        return Example(question, answer).coloured(image, looks.camera(r, w, h, None, 0.4))

    def synthesised(self, name, text):
        """(samples, labels) of a text by a synthesiser's random voice."""
        held = dict(held=True) if self.held else {}
        return self.voices[name].anyone(self.r, grammar.spelled(text), **held)

    def recorded(self, samples, labels, longest, rough):
        if not labels:
            return None
        if not self.held and self.r.random() < OTHER_VOICE:
            samples, labels = sounds.other_voice(self.r, samples, labels)
        return sounds.recorded(self.r, samples, labels, longest, rough)

    def said(self, text, longest, rough):
        name = "flite" if not self.held and self.r.random() < FLITE_AT_ONCE else "espeak"
        return self.recorded(*self.synthesised(name, text), longest, rough)

    def kept(self):
        """(text, samples, labels) of a sentence that may have been heard before."""
        r = self.r
        name = "espeak" if self.held else r.choices(list(POOLS), [share for share, _, _ in POOLS.values()])[0]
        _, most, uses = POOLS[name]
        pool = self.said_before[name]
        if len(pool) < most or r.random() < 1 / uses:
            text = grammar.sentence(r)
            said = (text, *self.synthesised(name, text))
            if len(pool) < most:
                pool.append(said)
            else:
                pool[r.randrange(most)] = said
            return said
        return r.choice(pool)

    def hearing(self, question, answer, heard, image=False, **marks):
        """An Example with a recording; in training some stand before the text."""
        first = not self.held and self.r.random() < SOUND_FIRST
        return Example(question, answer, image, *heard, sound_first=first, **marks)

    def transcript(self, w, h, room, rough=1.0, published=False, longest=3.7, bare=0):
        r = self.r
        text, samples, labels = self.kept()
        heard = self.recorded(samples, labels, int(longest * sounds.RATE), rough)
        if published:
            question, answer = PUBLISHED.format(r.choice(("English", "the original language"))), grammar.with_digits(text)
        else:
            question, answer = self.question(TRANSCRIBE, bare), text
        return heard and self.hearing(question, answer, heard)

    def published(self, w, h, room, rough=1.0):
        return self.transcript(w, h, room, rough, True, 4.0)

    def long_speech(self, w, h, room, rough=1.0):
        """Two to four sentences in one voice's breath."""
        r = self.r
        text = " ".join(grammar.sentence(r) for _ in range(r.randrange(2, 5)))
        heard = self.said(text, 12 * sounds.RATE, rough)
        return heard and self.hearing(r.choice(TRANSCRIBE), text, heard)

    def no_speech(self, w, h, room):
        x = sounds.no_speech(self.r, 4 * sounds.RATE)
        phones = np.zeros((sounds.needed(x), sounds.FINE), np.uint8)
        return self.hearing(self.r.choice(TRANSCRIBE), NO_SPEECH, (x, phones))

    def foreign_text(self, w, h, room):
        """Neither picture nor sound: a request for something else, or one that needs a picture."""
        r = self.r
        if r.random() < 0.3:
            return Example(r.choice(boards.BOARD_QUESTIONS + boards.TEXT_QUESTIONS + pictures.WHAT), NO_PICTURE, False)
        return Example(self.foreign_task(), FOREIGN, False)

    def spoken(self, w, h, room, rows=(2, 8), rough=1.0):
        """A board, and a question about it by voice."""
        r = self.r
        got = self.drawn_board(w, h, rows, r.choice(LEAST_SIZES), 0.15, rough)
        asked = got and questions.ask(r, got[0], named=True)
        if not asked:
            return None
        frames = room - len(asked.answer) - 48
        heard = self.said(asked.spoken, min(frames, 150) * sounds.FRAME, rough)
        if not heard:
            return None
        if r.random() < 0.1:
            e = self.hearing(r.choice(TRANSCRIBE), asked.spoken, heard, True)
        else:
            e = self.hearing(r.choice(ANSWER), asked.answer, heard, True, **marks_of(got[0], asked, heard=True))
        e.said = asked.spoken
        return e.drawn(got[0].canvas, *got[1])


def marks_of(board, asked, heard=False):
    """Arguments of an Example that answers questions.Asked: marks of the answer and of the question."""
    question = []
    if asked.subject:
        row, column = asked.subject
        question = [-1] * asked.at + boards.shown(board.table[row][column], board.first[row, column])
    if heard:  # no character of the question is written
        question = question[asked.at :][:1]
    return dict(marks=board.marks(asked.cells, asked.between), asked_marks=question)


def pointed(ids, marks):
    """The mark of each id of a text."""
    return [marks[at] if at < len(marks) else -1 for at in tokenizer.spans(ids)]


def asked_points(ids, question, marks):
    """The marks of ids around a question: of its characters, and at the end of its turn that of its first one."""
    out, q = [-1] * len(ids), tokenizer.encode(question)
    if any(m >= 0 for m in marks):
        at = next(i for i in range(len(ids)) if ids[i : i + len(q)] == q)
        if len(marks) > 1:
            out[at : at + len(q)] = pointed(q, marks)
        out[ids.index(tokenizer.END, at + len(q))] = next(m for m in marks if m >= 0)
    return out


def coarse(canvas, block):
    """Average the ink over blocks, so that no letter is left."""
    h, w = canvas.ink.shape
    a = canvas.ink[: h // block * block, : w // block * block].astype(np.uint16)
    a = a.reshape(h // block, block, w // block, block).mean((1, 3)).astype(np.uint8)
    a = a.repeat(block, 0).repeat(block, 1)
    canvas.ink[: a.shape[0], : a.shape[1]] = a


def material(seed, faces, held=False, colour=True, voice=True):
    """Tasks over a set of faces."""
    import flite, glyphs, speech

    styles = (pictures.HELD_STYLE,) if held else pictures.STYLES
    return Tasks(
        random.Random(seed),
        glyphs.Atlas(faces, None if held else glyphs.hard_faces()),
        pictures.Sheets(styles, varied=not held) if colour else None,
        dict(espeak=speech.Synthesiser(), flite=flite.Synthesiser()) if voice else None,
        held,
        pictures.Photos() if colour and not held else None,
    )
