"""Speech from libflite through ctypes, with the phoneme that sounds at every moment: voices of another kind than
espeak-ng's, a few recorded speakers.

The libraries lie in data/flite (prepare). The voice rms is not among them: it is for the evaluation.
"""
import ctypes, os
import numpy as np
import pack_speech, speech

HERE = os.path.dirname(os.path.abspath(__file__))
VOICES = {"slt": 4, "awb": 4, "kal": 1}  # shares; slt and awb are recorded speakers, kal is built of pairs of sounds
STRETCHES = (0.8, 1.35)  # of durations
SHIFTS = (0.75, 1.35)  # of the pitch of recorded speakers
PITCHES = (80, 160)  # Hz, kal's
# flite's names of sounds that speech.PHONES has under another name
SOUNDS = dict(aa="A:", ae="a", ah="V", ao="O", aw="aU", ax="@", axr="@", ay="aI", ch="tS", dh="D", dx="d", eh="E", er="3")
SOUNDS.update(ey="eI", hh="h", ih="I", iy="i", jh="dZ", ng="N", ow="oU", oy="OI", sh="S", th="T", uh="U", uw="u", y="j", zh="Z")
SILENCE = "pau"


class Wave(ctypes.Structure):
    """cst_wave of cst_wave.h"""

    _fields_ = [
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    ]


class Voice(ctypes.Structure):
    """The beginning of cst_voice of cst_voice.h"""

    _fields_ = [("name", ctypes.c_char_p), ("features", ctypes.c_void_p)]


def sound_class(name):
    if name == SILENCE:
        return 0
    return speech.INDEX.get(SOUNDS.get(name, name), speech.OTHER)


class Synthesiser:
    def __init__(self, data=os.path.join(HERE, "data", "flite")):
        libs = [ctypes.CDLL(os.path.join(data, "libasound.so.2"), ctypes.RTLD_GLOBAL)]
        for name in pack_speech.FLITE:
            libs.append(ctypes.CDLL(os.path.join(data, f"lib{name}.so.1"), ctypes.RTLD_GLOBAL))
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        for name, result, arguments in (
            ("flite_init", ctypes.c_int, []),
            ("flite_synth_text", pointer, [text, pointer]),
            ("utt_wave", ctypes.POINTER(Wave), [pointer]),
            ("utt_relation", pointer, [pointer, text]),
            ("relation_head", pointer, [pointer]),
            ("item_next", pointer, [pointer]),
            ("item_feat_string", text, [pointer, text]),
            ("item_feat_float", ctypes.c_float, [pointer, text]),
            ("delete_utterance", None, [pointer]),
            ("feat_set_float", None, [pointer, text, ctypes.c_float]),
        ):
            f = getattr(libs[1], name)
            f.restype, f.argtypes = result, arguments
            setattr(self, name, f)
        self.flite_init()
        self.voices = {}
        for name, lib in zip(pack_speech.FLITE, libs[1:]):
            if "_us_" in name:
                register = getattr(lib, "register_" + name.removeprefix("flite_"))
                register.restype, register.argtypes = ctypes.POINTER(Voice), [pointer]
                self.voices[name.rpartition("_")[2]] = register(None)

    def say(self, text, voice, stretch, shift, pitch):
        """(float32 samples at 16 kHz in -1 .. 1, [(second, phone class)])"""
        v = self.voices[voice]
        for feature, value in ((b"duration_stretch", stretch), (b"f0_shift", shift), (b"int_f0_target_mean", pitch)):
            self.feat_set_float(v.contents.features, feature, value)
        utterance = self.flite_synth_text(text.encode(), ctypes.cast(v, ctypes.c_void_p))
        wave = self.utt_wave(utterance).contents
        x = np.ctypeslib.as_array(wave.samples, (wave.num_samples,)).astype(np.float32) / 32768
        labels, start = [], 0.0
        item = self.relation_head(self.utt_relation(utterance, b"Segment"))
        while item:
            labels.append((start, sound_class(self.item_feat_string(item, b"name").decode())))
            start = self.item_feat_float(item, b"end")
            item = self.item_next(item)
        rate = wave.sample_rate
        self.delete_utterance(utterance)
        return speech.resample(x, rate, speech.RATE), labels

    def anyone(self, r, text):
        """Said by a random voice."""
        voice = r.choices(list(VOICES), list(VOICES.values()))[0]
        return self.say(text, voice, r.uniform(*STRETCHES), r.uniform(*SHIFTS), r.uniform(*PITCHES))
