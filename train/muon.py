"""Muon: momentum whose update is orthogonalised by a Newton-Schulz iteration, for the decoder's matrices."""
import torch


@torch.no_grad()
def orthogonal(x):
    """[n, rows, cols] -> the same with singular values near 1."""
    x = x.bfloat16() if x.is_cuda else x.float()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.transpose(-1, -2)
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True) + 1e-7).to(x.dtype)
    for _ in range(5):
        a = x @ x.transpose(-1, -2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.transpose(-1, -2) if tall else x


class Muon:
    def __init__(self, params, lr, decay):
        self.lr, self.decay, groups = lr, decay, {}
        for p in params:
            groups.setdefault(tuple(p.shape), []).append(p)
        self.groups = [(ps, [torch.zeros_like(p) for p in ps]) for ps in groups.values()]
        self.state = {
            (i, j): {"momentum": m} for i, (_, ms) in enumerate(self.groups) for j, m in enumerate(ms)
        }

    @torch.no_grad()
    def step(self):
        for ps, ms in self.groups:
            gs = [p.grad for p in ps]
            torch._foreach_mul_(ms, 0.95)
            torch._foreach_add_(ms, gs)
            u = torch._foreach_mul(ms, 0.95)
            torch._foreach_add_(u, gs)
            # .2 would make an update as large as one of AdamW's at the same learning rate
            o = orthogonal(torch.stack(u)).to(ps[0].dtype) * (-0.4 * max(ps[0].shape) ** 0.5 * self.lr)
            for p in ps:
                p.mul_(1 - self.lr * self.decay)
            torch._foreach_add_(ps, list(o.unbind(0)))
