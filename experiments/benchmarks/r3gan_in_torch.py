"""R3GAN with its own networks as a good PyTorch user would write it."""

import torch
import torch.nn.functional as F
from torch import nn

from experiments.benchmarks import in_torch
from experiments.benchmarks.layers_in_torch import Filter, leaky


class Block(in_torch.Net):
    def __init__(self, c, group=16):
        super().__init__()
        inner = 2 * c
        self.add("Conv", nn.Conv2d(c, inner, 1))
        self.add("Conv", nn.Conv2d(inner, inner, 3, padding=1, groups=max(1, inner // group)))
        self.add("Conv", nn.Conv2d(inner, c, 1, bias=False))

    def forward(self, x):
        return x + self.Conv_2(leaky(self.Conv_1(leaky(self.Conv_0(x)))))


class R3Net(in_torch.Net):
    """Of one width, as the game is up to 32 pixels."""

    def __init__(self, cfg):
        super().__init__()
        self.filter = Filter()
        self.levels = cfg.image_size.bit_length() - 2
        self.basis = nn.Parameter(torch.randn(1, cfg.width, 4, 4))
        blocks = [
            [self.add("Block", Block(cfg.width)) for _ in range(cfg.blocks)] for _ in range(self.levels)
        ]
        self.stay = [nn.Sequential(*of) for of in blocks]


class Generator(R3Net):
    def __init__(self, cfg):
        super().__init__(cfg)
        self.add("Dense", nn.Linear(cfg.latent, cfg.width, bias=False))
        self.add("Conv", nn.Conv2d(cfg.width, cfg.channels, 1, bias=False))

    def forward(self, z):
        x = self.basis * self.Dense_0(z)[:, :, None, None]
        for level, stay in enumerate(self.stay):
            x = stay(self.filter.double(x) if level else x)
        return self.Conv_0(x)


class Discriminator(R3Net):
    def __init__(self, cfg):
        super().__init__(cfg)
        self.add("Conv", nn.Conv2d(cfg.channels, cfg.width, 1, bias=False))
        self.add("Dense", nn.Linear(cfg.width, 1, bias=False))

    def forward(self, x):
        x = self.Conv_0(x)
        for level, stay in enumerate(self.stay):
            x = stay(self.filter.halve(x) if level else x)
        return self.Dense_0((self.basis * x).sum((2, 3)))[:, 0]


class R3Gan(in_torch.ConfigGame):
    """D's loss has second derivatives; what G does can be compiled."""

    networks = Generator, Discriminator
    compiled = ("fakes", "g_loss")

    def draw(self, **on):
        return {"z": torch.randn(self.case.batch, self.case.latent, **on)}

    @torch.no_grad()
    def fakes(self, drawn):
        return self.g(drawn["z"])

    def d_loss(self, drawn, real):
        fake = self.fakes(drawn).clone()  # a compiled function's outputs may be used anew
        sides, penalty = [], 0
        for x in (real.detach(), fake):
            x.requires_grad_()
            sides.append(self.d(x))
            penalty = penalty + in_torch.squared_gradient(sides[-1], x).mean()
        return F.softplus(sides[1] - sides[0]).mean() + self.cfg.gamma / 2 * penalty

    def g_loss(self, drawn, real):
        with torch.no_grad():
            on_real = self.d(real)
        return F.softplus(on_real - self.d(self.g(drawn["z"]))).mean()


game = R3Gan
