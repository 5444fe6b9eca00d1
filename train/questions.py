"""Questions about a departures board, their answers, and how they are spoken.

A table is what boards.Board holds: rows of fields in the order of its columns. Answers repeat the board's own
spelling; lists are joined with ", "; what is not there is answered with NOT_THERE.
"""
import re
from collections import namedtuple
import corpus, grammar

ASK_GATE = ["Which gate for {to}?", "What gate does the flight to {to} leave from?", "Gate for {to}?"]
ASK_GATE_CODE = ["Which gate for {code}?", "Where does {code} leave from?"]
ASK_TIME = ["When does the flight to {to} leave?", "What time is the flight to {to}?", "When is {to}?"]
ASK_TIME_CODE = ["When does {code} leave?", "What time is {code}?"]
ASK_STATUS = ["What is the status of the flight to {to}?", "Is the flight to {to} on time?"][:1]
ASK_STATUS_CODE = ["What is the status of {code}?", "Status of {code}?"]
ASK_PLACE = ["Where does {code} go?", "Where is {code} going?"]
ASK_CODE = ["What is the flight number to {to}?", "Which flight goes to {to}?"]
ASK_LIST = {
    "cancelled": ["Which flights are cancelled?", "What is cancelled?"],
    "delayed": ["Which flights are delayed?", "What is delayed?"],
    "boarding": ["Which flights are boarding?", "What is boarding?"],
    "on time": ["Which flights are on time?"],
}
ASK_COUNT = ["How many flights are on the board?", "How many departures are there?"]
ASK_COUNT_STATE = ["How many flights are {state}?"]
ASK_THERE = ["Is there a flight to {to}?"]
ASK_FIRST = ["Where does the first flight go?", "What is the first destination?"]
ASK_LAST = ["Where does the last flight go?", "What is the last destination?"]
NONE, YES, NO = "None.", "Yes.", "No."
NOT_THERE = "{what} is not on the board."
ASK_ROW = ["Read the row of {to}.", "Read the line of {to}."]
ASK_ROW_CODE = ["Read the row of {code}.", "Read the line of {code}."]
KINDS = ("gate", "time", "status", "place", "code", "list", "list", "count", "there", "edge", "absent", "absent")
# of training: finding a row is what is hard, so it is asked for oftener, and as a whole
TAUGHT = KINDS[:5] * 2 + KINDS[5:] + ("row", "row", "row")
# cells: the fields (row, column) that the answer repeats, joined by `between` characters; subject: the field that the
# question names, and `at`, where in the question; None and -1 where it names none, or one that is not on the board
Asked = namedtuple("Asked", "question answer spoken cells between subject at")


def title(name):
    """How people write a name that the board may show in capitals."""
    return name if name != name.upper() or len(name) < 4 else name.title()


def ask(r, board, named=False, kinds=KINDS):
    """Asked about a boards.Board, or None if this kind does not fit it.

    named: only what can be said aloud: known places and flight numbers.
    """
    order, table = board.order, board.table
    column = {c: [row[order.index(c)] for row in table] for c in order}
    kind, i = r.choice(kinds), r.randrange(len(table))
    unique = lambda c: [x.lower() for x in column[c]].count(column[c][i].lower()) == 1
    to = title(column["dest"][i])
    by_name = unique("dest") and not (named and (board.random[i] or not sayable(to)))
    by_code = "flight" in order and unique("flight")
    code = column["flight"][i] if by_code else None
    answers = dict(gate="gate", time="time", status="status", place="dest", code="flight")
    if kind in answers or kind == "row":
        if answers.get(kind, "dest") not in order:
            return None
        forms = {
            "row": (ASK_ROW, ASK_ROW_CODE),
            "gate": (ASK_GATE, ASK_GATE_CODE),
            "time": (ASK_TIME, ASK_TIME_CODE),
            "status": (ASK_STATUS, ASK_STATUS_CODE),
            "place": ([], ASK_PLACE),
            "code": (ASK_CODE, []),
        }[kind]
        options = (forms[0] if by_name else []) + (forms[1] if by_code else [])
        if not options:
            return None
        form = r.choice(options)
        subject = i, order.index("dest" if form in forms[0] else "flight")
        if kind == "row":
            cells = [(i, c) for c in range(len(order))]
            return finish(form, " | ".join(table[i]), to, code, cells, subject, " | ")
        return finish(form, column[answers[kind]][i], to, code, [(i, order.index(answers[kind]))], subject)
    if kind == "list":
        return listed(r, order, column)
    if kind == "count":
        return finish(r.choice(ASK_COUNT), str(len(table)))
    if kind == "there":
        if r.random() < 0.5:
            return finish(r.choice(ASK_THERE), YES, to, subject=(i, order.index("dest"))) if by_name else None
        other = absent_place(r, column, named)
        return finish(r.choice(ASK_THERE), NO, other) if other else None
    if kind == "edge":
        forms, row = (ASK_FIRST, 0) if r.random() < 0.5 else (ASK_LAST, len(table) - 1)
        return finish(r.choice(forms), column["dest"][row], cells=[(row, order.index("dest"))])
    if by_code and r.random() < 0.25:
        other = re.sub(r"\d+$", lambda m: str(r.randrange(10, 10 ** max(2, len(m[0])))), code)
        if other in column["flight"]:
            return None
        return finish(r.choice(ASK_TIME_CODE + ASK_STATUS_CODE), NOT_THERE.format(what=other), None, other)
    other = absent_place(r, column, named)
    if not other:
        return None
    forms = ASK_TIME + (ASK_GATE if "gate" in order else []) + (ASK_STATUS if "status" in order else [])
    return finish(r.choice(forms), NOT_THERE.format(what=other), other)


def sayable(name):
    return re.fullmatch(r"[A-Za-z ]+", name) and (name in grammar.CITIES or name in corpus.HELD_CITIES)


def absent_place(r, column, named):
    other = r.choice(grammar.CITIES) if named or r.random() < 0.8 else corpus.random_string(r).capitalize()
    return None if any(other.lower() == c.lower() for c in column["dest"]) else other


def listed(r, order, column):
    """Which flights are delayed and the like, and how many."""
    if "status" not in order:
        return None
    states = [s.lower() for s in column["status"]]
    present = [s for s in ASK_LIST if any(x.startswith(s) for x in states)]
    state = r.choice(present) if present and r.random() < 0.8 else r.choice(list(ASK_LIST))
    rows = [i for i, s in enumerate(states) if s.startswith(state)]
    if r.random() < 0.3:
        return finish(r.choice(ASK_COUNT_STATE).format(state=state), str(len(rows)))
    name = "flight" if "flight" in order else "dest"
    said = ", ".join(column[name][i] for i in rows) if rows else NONE
    return finish(r.choice(ASK_LIST[state]), said, cells=[(i, order.index(name)) for i in rows])


def finish(form, answer, to=None, code=None, cells=(), subject=None, between=", "):
    """Asked, from the form of a question and what fills it."""
    written = form.format(to=to, code=code)
    spoken = form.format(to=to and to.lower(), code=code and grammar.letters(code))
    at = -1 if subject is None else min(p for p in (form.find("{to}"), form.find("{code}")) if p >= 0)
    return Asked(written, answer, re.sub("[^a-z ]", "", spoken.lower()), list(cells), len(between), subject, at)
