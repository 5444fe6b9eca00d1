"""Speech from libespeak-ng through ctypes, with the phoneme that sounds at every moment.

The library and its English data lie in data/espeak (prepare); its sound-card library is replaced by a stub, so that
nothing but libc is needed. One synthesiser a process.
"""
import ctypes, glob, os
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
RATE = 16000
ACCENTS = "en en-US en-GB-scotland en-GB-x-rp en-GB-x-gbclan en-GB-x-gbcwmd en-029 en-US-nyc".split()
HELD_VARIANTS = "m3 f2 Andy steph david klatt3 quincy belinda".split()  # voices that training never hears
# whispers, robots and other voices that are hard for people too
NO_VARIANTS = "whisper whisperf croak fast_test UniRobot Robosoft pedro Demonic AnxiousAndy caleb".split()
RATES, PITCHES, RANGES = (120, 215), (20, 85), (20, 90)
SYNCHRONOUS, PHONEME_EVENTS, PHONEME, TEXT_UTF8 = 2, 1, 7, 1


class Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h"""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))
# espeak's mnemonics, reduced to about 50 sounds: stress and length marks dropped
PHONES = "@ 0 a A: aI aU b d D dZ e E eI f g h i I i@ j k l m n N o O OI oU p r R s S t T tS u U u@ v V w z Z 3 x ?".split()


def phone_class(mnemonic):
    """0 for silence, 1 .. for a sound, by its closest name in PHONES."""
    s = mnemonic.strip("',_|!%=-*;:")
    for n in (len(s), 2, 1):
        for form in (s[:n], s[:n] + ":"):
            if form and form in INDEX:
                return INDEX[form]
    return OTHER if s else 0


INDEX = {p: i + 1 for i, p in enumerate(PHONES)}
OTHER = len(PHONES) + 1
CLASSES = len(PHONES) + 2


class Synthesiser:
    def __init__(self, data=os.path.join(HERE, "data", "espeak")):
        for name in ("libpcaudio.so.0", "libsonic.so.0"):
            ctypes.CDLL(os.path.join(data, name), ctypes.RTLD_GLOBAL)
        self.lib = ctypes.CDLL(os.path.join(data, "libespeak-ng.so.1"))
        self.lib.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
        self.rate = self.lib.espeak_Initialize(SYNCHRONOUS, 1000, data.encode(), PHONEME_EVENTS)
        if self.rate <= 0:
            raise RuntimeError(f"{data}: libespeak-ng found no data: run prepare")
        self.pieces, self.events, self.voice = [], [], None
        self.callback = CALLBACK(self.heard)  # kept: the library holds only the pointer
        self.lib.espeak_SetSynthCallback(self.callback)
        known = sorted(os.path.basename(p) for p in glob.glob(os.path.join(data, "espeak-ng-data", "voices", "!v", "*")))
        self.variants = [v for v in known if v not in HELD_VARIANTS + NO_VARIANTS and " " not in v]

    def heard(self, samples, n, events):
        if n > 0:
            self.pieces.append(ctypes.string_at(samples, 2 * n))
        i = 0
        while events[i].type:
            if events[i].type == PHONEME:
                self.events.append((events[i].audio_position, events[i].id.decode("utf-8", "replace")))
            i += 1
        return 0

    def say(self, text, accent, variant, speed, pitch, spread):
        """(float32 samples at 16 kHz in -1 .. 1, [(second, phone class)])"""
        self.pieces.clear()
        self.events.clear()
        voice = f"gmw/{accent}+{variant}"
        if voice != self.voice:
            code = self.lib.espeak_SetVoiceByName(voice.encode())
            if code:
                raise RuntimeError(f"espeak has no voice {voice} (error {code})")
            self.voice = voice
        for parameter, value in ((1, speed), (3, pitch), (4, spread)):
            self.lib.espeak_SetParameter(parameter, value, 0)
        raw = text.encode() + b"\0"
        self.lib.espeak_Synth(raw, len(raw), 0, 1, 0, TEXT_UTF8, None, None)
        if not self.pieces:
            return np.zeros(0, np.float32), []
        x = np.frombuffer(b"".join(self.pieces), np.int16).astype(np.float32) / 32768
        return resample(x, self.rate, RATE), [(ms / 1000, phone_class(p)) for ms, p in self.events]

    def anyone(self, r, text, held=False):
        """Said by a random voice."""
        variant = r.choice(HELD_VARIANTS if held else self.variants)
        return self.say(text, r.choice(ACCENTS), variant, r.randrange(*RATES), r.randrange(*PITCHES), r.randrange(*RANGES))


def resample(x, rate, to):
    """Linear interpolation behind a short low-pass filter: good enough for a voice of espeak's."""
    if rate > to:
        x = np.convolve(x, (0.12, 0.76, 0.12), "same").astype(np.float32)
    n = int(len(x) * to / rate)
    return np.interp(np.arange(n) * (rate / to), np.arange(len(x)), x).astype(np.float32)
