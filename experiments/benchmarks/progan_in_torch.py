"""ProGAN, grown to its last level, as a good PyTorch user would write it."""

import math

import torch
import torch.nn.functional as F

from experiments.benchmarks import in_torch
from experiments.benchmarks.layers_in_torch import EqualConv, EqualLinear, leaky, pixel_norm, with_std

GAIN = math.sqrt(2)


class Up(in_torch.Net):
    def __init__(self, c, out):
        super().__init__()
        for n in (c, out):
            self.add("EqualizedConv", EqualConv(n, out, 3, padding=1, gain=GAIN))

    def forward(self, x):
        x = F.interpolate(x, scale_factor=2)
        return pixel_norm(leaky(self.EqualizedConv_1(pixel_norm(leaky(self.EqualizedConv_0(x))))))


class Down(in_torch.Net):
    def __init__(self, c, out):
        super().__init__()
        for n in (c, out):
            self.add("EqualizedConv", EqualConv(c, n, 3, padding=1, gain=GAIN))

    def forward(self, x):
        return F.avg_pool2d(leaky(self.EqualizedConv_1(leaky(self.EqualizedConv_0(x)))), 2)


def _maps(cfg):
    """The channels of each level."""
    last = cfg.image_size.bit_length() - 3
    return [min(cfg.width << (last - level), cfg.most) for level in range(last + 1)]


class Generator(in_torch.Net):
    """The lower levels' layers to images are there, and not used."""

    def __init__(self, cfg):
        super().__init__()
        maps = _maps(cfg)
        self.top = maps[0]
        self.dense = EqualLinear(cfg.latent, 16 * self.top, gain=GAIN / 4)
        self.conv = EqualConv(self.top, self.top, 3, padding=1, gain=GAIN)
        self.ups = [self.add("up", Up(*of)) for of in zip(maps, maps[1:], strict=False)]
        self.last = [self.add("to_image", EqualConv(n, cfg.channels, 1)) for n in maps][-1]

    def forward(self, z):
        x = pixel_norm(leaky(self.dense(pixel_norm(z)).view(-1, self.top, 4, 4)))
        x = pixel_norm(leaky(self.conv(x)))
        for up in self.ups:
            x = up(x)
        return self.last(x)


class Discriminator(in_torch.Net):
    def __init__(self, cfg):
        super().__init__()
        maps = _maps(cfg)
        top, final = maps[0], min(2 * maps[0], cfg.most)
        self.first = [self.add("from_image", EqualConv(cfg.channels, n, 1, gain=GAIN)) for n in maps][-1]
        self.downs = [self.add("down", Down(c, n)) for n, c in zip(maps, maps[1:], strict=False)]
        self.conv = EqualConv(top + 1, top, 3, padding=1, gain=GAIN)
        self.dense = EqualLinear(16 * top, final, gain=GAIN)
        self.logit = EqualLinear(final, 1)

    def forward(self, x):
        x = leaky(self.first(x))
        for down in reversed(self.downs):
            x = down(x)
        x = leaky(self.conv(with_std(x)))
        return self.logit(leaky(self.dense(x.flatten(1))))[:, 0]


class ProGan(in_torch.ConfigGame):
    """D's loss without its penalty, which has second derivatives, can be compiled."""

    networks = Generator, Discriminator
    compiled = ("judged", "g_loss")

    def draw(self, **on):
        n = self.case.batch
        return {"z": torch.randn(n, self.case.latent, **on), "mix": torch.rand(n, **on)}

    def judged(self, drawn, real):
        with torch.no_grad():
            fake = self.g(drawn["z"])
        logits = self.d(real)
        return (self.d(fake) - logits).mean() + self.cfg.drift * logits.square().mean(), fake

    def d_loss(self, drawn, real):
        loss, fake = self.judged(drawn, real)
        return loss + self.cfg.gp_weight * in_torch.to_slope_one(self.d, real, fake, drawn["mix"])

    def g_loss(self, drawn, real):
        return -self.d(self.g(drawn["z"])).mean()


game = ProGan
