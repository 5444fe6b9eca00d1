"""The model's own tokenizer: byte-fallback BPE with Gemma's control tokens, almost without merges.

Reading wants single characters: the token after "Del" should depend on the next letter on the board and on
nothing else. So the only merges are those that shorten what every prompt and every answer repeats: the column
separator and the chat's role names.
"""
import json

CONTROL = [
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<mask>",
    "<|tool>",
    "<tool|>",
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_response>",
    "<tool_response|>",
    '<|"|>',
    "<|think|>",
    "<|channel>",
    "<channel|>",
    "<|turn>",
    "<turn|>",
    "<|image>",
    "<image|>",
    "<|image|>",
    "<|audio>",
    "<audio|>",
    "<|audio|>",
    "<|video|>",
]
CHARACTERS = (
    ["\n", "▁"]
    + [chr(c) for c in range(33, 127)]
    + [chr(c) for c in range(0xA1, 0x100) if c != 0xAD]
    + list("–—‘’“”•…€→")
)
MERGES = [
    ("▁", "|"),
    ("▁|", "▁"),
    ("u", "s"),
    ("e", "r"),
    ("us", "er"),
    ("o", "d"),
    ("e", "l"),
    ("m", "od"),
    ("mod", "el"),
    ("t", "h"),
    ("o", "u"),
    ("g", "h"),
    ("gh", "t"),
    ("th", "ou"),
    ("thou", "ght"),
]
VOCABULARY = {
    t: i
    for i, t in enumerate(
        CONTROL + [f"<0x{b:02X}>" for b in range(256)] + CHARACTERS + [a + b for a, b in MERGES]
    )
}
VOCAB_SIZE = 512  # rows of the embedding; the last few have no token
STRINGS = {i: t for t, i in VOCABULARY.items()}
RANK = {m: i for i, m in enumerate(MERGES)}
BOS, EOS, PAD, TURN, END, IMAGE_OPEN, IMAGE_CLOSE, IMAGE, AUDIO_OPEN, AUDIO_CLOSE, AUDIO = (
    VOCABULARY[t]
    for t in (
        "<bos> <eos> <pad> <|turn> <turn|> <|image> <image|> <|image|> <|audio> <audio|> <|audio|>".split()
    )
)


def size():
    return len(VOCABULARY)


def encode(text):
    """Plain text (no control tokens) to ids."""
    parts = []
    for c in text.replace(" ", "▁"):
        parts += [c] if c in VOCABULARY else [f"<0x{b:02X}>" for b in c.encode()]
    while True:
        best = min((RANK.get((a, b), 99) for a, b in zip(parts, parts[1:])), default=99)
        if best == 99:
            return [VOCABULARY[p] for p in parts]
        pair, out, i = MERGES[best], [], 0
        while i < len(parts):
            if tuple(parts[i : i + 2]) == pair:
                out.append(parts[i] + parts[i + 1])
                i += 2
            else:
                out.append(parts[i])
                i += 1
        parts = out


def decode(ids):
    """Ids to text up to the end of the turn; control tokens print as their names."""
    out = bytearray()
    for i in ids:
        if i in (END, EOS):
            break
        t = STRINGS.get(int(i), "<unk>")
        out += (
            bytes([int(t[3:5], 16)]) if t.startswith("<0x") and len(t) == 6 else t.replace("▁", " ").encode()
        )
    return out.decode("utf-8", "replace")


def prompt(question, image=True, sound=0, sound_first=False):
    """The Gemma chat, thinking off: ids before the picture's soft tokens, and ids after them. A picture stands before
    the text and a sound of `sound` soft tokens behind it (docs/spec/multimodal.md), or before it, as a program may.
    """
    v = lambda t: VOCABULARY[t]
    before = [BOS, TURN] + encode("user\n") + ([IMAGE_OPEN] if image else [])
    heard = [AUDIO_OPEN] + [AUDIO] * sound + [AUDIO_CLOSE] if sound else []
    after = [IMAGE_CLOSE] if image else []
    after += heard + encode(question) if sound_first else encode(question) + heard
    after += [END] + encode("\n") + [TURN] + encode("model\n")
    return before, after + [v("<|channel>")] + encode("thought\n") + [v("<channel|>")]


def further(question):
    """Ids between an answer's end and the answer to a further question in the same chat."""
    after = encode("\n") + [TURN] + encode("user\n") + encode(question) + [END] + encode("\n") + [TURN]
    return after + encode("model\n") + [VOCABULARY["<|channel>"]] + encode("thought\n") + [VOCABULARY["<channel|>"]]


def spans(ids):
    """Index of the first character that each id of a text writes."""
    out, at = [], 0
    for i in ids:
        out.append(at)
        t = STRINGS[i]
        at += (int(t[3:5], 16) & 0xC0 != 0x80) if t.startswith("<0x") and len(t) == 6 else len(t)
    return out


def write(path):
    """tokenizer.json in the layout of the published checkpoint."""
    added = [
        {
            "id": i,
            "content": t,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, t in enumerate(CONTROL)
    ]
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    back = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": "<unk>",
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": True,
        "ignore_merges": False,
        "vocab": VOCABULARY,
        "merges": [list(m) for m in MERGES],
    }
    split = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    with open(path, "w", encoding="utf-8") as f:
        json.dump(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": added,
                "normalizer": space,
                "pre_tokenizer": split,
                "post_processor": None,
                "decoder": {
                    "type": "Sequence",
                    "decoders": [back, {"type": "ByteFallback"}, {"type": "Fuse"}],
                },
                "model": model,
            },
            f,
            ensure_ascii=False,
            indent=0,
        )
        f.write("\n")
