"""Batches on their way to the step: copied to the GPU beside it, and shown twice where drawing is slow."""
import random, time
import torch
import pixels, tokenizer
from trainer import DEVICE, GPU

LOOKS_FROM = pixels.AT["light_x"]  # numbers of the camera before this one belong to the drawing: they place its labels
SHIFT, GAIN, LEVEL = 80, (-8, 4), (10, 50)  # samples; dB; dB of the voice above the added noise


class Stage:
    """reserve: how many batches may wait on the GPU for their second use, 0 for none."""

    def __init__(self, data, reserve=32):
        self.data, self.most, self.reserve = data, reserve, []
        self.wait, self.again = 0.0, 0  # seconds without a batch; batches shown a second time
        self.copies = torch.cuda.Stream() if GPU else None

    def next(self, busy):
        """(release token or None, recipe, key, tensors, event or None). busy: has the GPU work for a while?

        A batch that was seen comes again, varied, when no new one is ready before the GPU runs out of work.
        """
        while not self.data.waiting():
            if self.reserve and not busy():
                self.again += 1
                name, key, here = self.reserve.pop(random.randrange(len(self.reserve) + 1 >> 1))  # not the last ones
                return None, name, key, varied(here), None
            start, idle = time.time(), not busy()
            time.sleep(0.001)
            self.wait += (time.time() - start) * idle
        token, name, key, arrays = self.data.next()
        here = {k: torch.from_numpy(v) for k, v in arrays.items()}
        if not GPU:
            here, event = {k: v.clone() for k, v in here.items()}, None
        else:
            with torch.cuda.stream(self.copies):
                here = {k: v.to(DEVICE, non_blocking=True) for k, v in here.items()}
                event = torch.cuda.Event()
                event.record()
        self.reserve = (self.reserve + [(name, key, here)])[-self.most :] if self.most else []
        return token, name, key, here, event


def varied(batch):
    """The same drawings in other colours, light, blur and JPEG (looks change places within the batch; noise is drawn in
    every step anyway); the same recordings turned over, shifted, louder or softer, with other noise.
    """
    out = dict(batch)
    n = batch["ids"].shape[0]
    uniform = lambda low, high: torch.rand(n, 1, device=DEVICE) * (high - low) + low
    if "cams" in batch:
        other = torch.randperm(n, device=DEVICE)
        out["pals"], out["cams"] = batch["pals"][other], batch["cams"].clone()
        out["cams"][:, LOOKS_FROM:] = batch["cams"][other, LOOKS_FROM:]
    if "frames" in batch:
        x = batch["frames"].flatten(1).float()
        sounding = batch["ids"][:, -batch["frames"].shape[1] :] == tokenizer.AUDIO
        sounding = sounding[..., None].expand(batch["frames"].shape).flatten(1)
        at = torch.arange(x.shape[1], device=DEVICE) - torch.randint(-SHIFT, SHIFT + 1, (n, 1), device=DEVICE)
        x = x.gather(1, at.clamp(0, x.shape[1] - 1)) * sounding
        size = (x.square().sum(1, keepdim=True) / sounding.sum(1, keepdim=True).clamp(min=1)).sqrt()
        level = 10 ** (-uniform(*LEVEL) / 20) * (torch.rand(n, 1, device=DEVICE) < 0.5)
        x = x + torch.randn_like(x) * size * level
        sign = torch.where(torch.rand(n, 1, device=DEVICE) < 0.5, -1.0, 1.0)
        x = (x * sign * 10 ** (uniform(*GAIN) / 20)).clamp(-32767, 32767).round() * sounding
        out["frames"] = x.to(torch.int16).view_as(batch["frames"])
    return out
