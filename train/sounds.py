"""What happens to speech between mouth and model, and sounds without speech. float32 samples at 16 kHz in -1 .. 1."""
import numpy as np

# lengths that a Fourier transform likes
NICE = sorted(2**a * 3**b * 5**c for a in range(9, 20) for b in range(3) for c in range(2))
BANK = {}
RATE, FRAME = 16000, 640  # one soft token is 640 samples
FINE = 4  # phoneme labels a soft token: one each 10 ms
DELAY = 1  # soft tokens by which the labels come later: the model hears 40 ms on before it has to say


def frames(x, count):
    """int16 [count, FRAME], padded with zeros."""
    out = np.zeros(count * FRAME, np.int16)
    out[: len(x)] = np.clip(np.rint(x * 32768), -32768, 32767)
    return out.reshape(count, FRAME)


def needed(x):
    return (len(x) + FRAME - 1) // FRAME


def nice(n):
    return next(m for m in NICE if m >= n)


def some_noise(rng, n, colour):
    """A piece of a minute of noise that is made once a process for each colour, forwards or backwards."""
    if colour not in BANK:
        BANK[colour] = noise(rng, 60 * RATE, colour)
    at = rng.integers(len(BANK[colour]) - n)
    return BANK[colour][at : at + n][:: rng.choice((1, -1))]


def noise(rng, n, colour):
    """White (0) to brownish (1) noise of standard deviation 1."""
    if colour == 0:
        return rng.standard_normal(n, dtype=np.float32)
    m = nice(n)
    f = np.fft.rfft(rng.standard_normal(m, dtype=np.float32))
    f *= (np.arange(len(f)) + 20.0) ** -colour
    x = np.fft.irfft(f, m)[:n].astype(np.float32)
    return x / (x.std() + 1e-9)


def filtered(x, rng, reverb):
    """A room (a tail of decaying noise) and a microphone (a tilt and a band)."""
    n = nice(len(x) + 4000)
    f = np.fft.rfft(x, n)
    hz = np.fft.rfftfreq(n, 1 / RATE)
    f *= (1 + (hz / 1500) ** 2) ** rng.uniform(-0.25, 0.25)
    if rng.random() < 0.2:  # a telephone
        f *= 1 / (1 + (200 / (hz + 1)) ** 4) / (1 + (hz / rng.uniform(3200, 6000)) ** 8)
    if reverb > 0:
        t = np.arange(4000) / RATE
        tail = rng.standard_normal(4000) * np.exp(-t / rng.uniform(0.02, 0.12)) * reverb * 0.02
        tail[0] = 1
        f *= np.fft.rfft(tail, n)
    return np.fft.irfft(f, n).astype(np.float32)[: len(x)]


def other_voice(r, x, labels):
    """The same words by a larger or smaller speaker (sound and pace go together), at an unsteady pace, with resonances
    that nobody's mouth has: (samples, labels). What training adds to its synthesisers, which are few.
    """
    rng = np.random.default_rng(r.randrange(1 << 30))
    n = len(x)
    knots = 2 + n // 8000
    pace = 2 ** r.uniform(-0.35, 0.35) * (1 + rng.normal(0, r.choice((0, 0.03, 0.06)), knots))
    pace = np.interp(np.linspace(0, knots - 1, n), np.arange(knots), np.clip(pace, 0.6, 1.6))
    at = np.cumsum(1 / pace)  # when each sample comes
    out = np.interp(np.arange(int(at[-1])), at, x).astype(np.float32)
    labels = [(float(at[min(int(s * RATE), n - 1)]) / RATE, kind) for s, kind in labels]
    m = nice(len(out))
    f = np.fft.rfft(out, m)
    u = np.log1p(np.arange(len(f)) * (RATE / m) / 300) / np.log1p(RATE / 2 / 300)  # 0 .. 1, even in octaves
    decibels = sum(rng.normal(0, 2.5) * np.cos(np.pi * k * u + rng.uniform(0, 2 * np.pi)) for k in range(1, 6))
    return np.fft.irfft(f * 10 ** (decibels / 20), m).astype(np.float32)[: len(out)], labels


def recorded(r, x, labels, longest, rough):
    """A recording of at most `longest` samples, and its phoneme classes uint8 [soft tokens, FINE], or None if too long.

    labels: [(second, class)]; rough 0 .. 1: how much is done to it.
    """
    rng = np.random.default_rng(r.randrange(1 << 30))
    speed = r.uniform(0.9, 1.12) if r.random() < 0.5 else 1.0
    if speed != 1.0:
        n = int(len(x) / speed)
        x = np.interp(np.arange(n) * speed, np.arange(len(x)), x).astype(np.float32)
    lead, tail = int(r.uniform(0, 0.4) * RATE), int(r.uniform(0.05, 0.4) * RATE)
    if lead + len(x) + tail > longest or not len(x):
        return None
    if r.random() < 0.6 * rough:
        x = filtered(x, rng, r.uniform(0, 1) if r.random() < 0.5 else 0)
    x = np.concatenate([np.zeros(lead, np.float32), x, np.zeros(tail, np.float32)])
    x *= 10 ** (r.uniform(-26, 0) * max(rough, 0.3) / 20) / (np.abs(x).max() + 1e-9)
    if r.random() < 0.8:
        level = r.uniform(8, 50) if rough > 0.5 else r.uniform(25, 50)
        x += some_noise(rng, len(x), r.choice((0, 0.5, 1))) * (x.std() * 10 ** (-level / 20))
    count = needed(x)
    fine = np.zeros(count * FINE, np.uint8)
    step = FRAME // FINE
    for (start, kind), (end, _) in zip(labels, labels[1:] + [(labels[-1][0] + 0.1, 0)]):
        a, b = ((lead + s / speed * RATE) / step for s in (start, end))
        fine[int(a + 0.5) : int(b + 0.5)] = kind
    late = np.zeros_like(fine)
    late[DELAY * FINE :] = fine[: len(fine) - DELAY * FINE]
    return np.clip(x, -1, 1), late.reshape(count, FINE)


def no_speech(r, longest):
    """Silence, noise, hum, tones, knocks."""
    rng = np.random.default_rng(r.randrange(1 << 30))
    n = r.randrange(RATE // 4, longest)
    kind = r.random()
    x = noise(rng, n, r.uniform(0, 1.2)) * 10 ** (r.uniform(-90, -12) / 20)
    if kind < 0.15:
        x[:] = 0
    elif kind < 0.55:
        t = np.arange(n) / RATE
        for _ in range(r.randrange(1, 5)):
            f, depth = 2 ** r.uniform(5.5, 11.5), r.uniform(0, 6)
            on = np.clip((t - r.uniform(0, 0.5) * t[-1]) * r.uniform(5, 100), 0, 1)
            x += np.sin(2 * np.pi * f * t + depth * np.sin(2 * np.pi * r.uniform(0.5, 8) * t)) * on * r.uniform(0.01, 0.2)
    elif kind < 0.75:
        for _ in range(r.randrange(1, 12)):
            at, long = r.randrange(n), r.randrange(100, 4000)
            hit = noise(rng, long, r.uniform(0, 1)) * np.exp(-np.arange(long) / long * 6) * r.uniform(0.02, 0.4)
            x[at : at + long] += hit[: n - at]
    return np.clip(x, -1, 1).astype(np.float32)
