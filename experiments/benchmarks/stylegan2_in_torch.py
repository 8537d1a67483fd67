"""StyleGAN2 as a good PyTorch user would write it."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from experiments.benchmarks import in_torch
from experiments.benchmarks.layers_in_torch import (
    EqualConv,
    EqualLinear,
    Filter,
    leaky,
    pixel_norm,
    with_std,
)


def _leaky(x):
    return math.sqrt(2) * leaky(x)


class StyledConv(nn.Module):
    """A modulated convolution, noise, a bias and leaky ReLU. The whole batch has one convolution, of scaled
    inputs: on a CPU and in training that is faster than one of a group an example."""

    def __init__(self, c, out, styles, double):
        super().__init__()
        shape = (c, out) if double else (out, c)
        self.weight = nn.Parameter(torch.randn(*shape, 3, 3))
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(out))
        self.style = EqualLinear(styles, c, start=1.0)
        self.filter = Filter() if double else None

    def forward(self, x, w, noise):
        s = self.style(w)
        x = x * s[:, :, None, None]
        norms = self.weight.square().sum((2, 3))
        if self.filter is None:
            x, norms = F.conv2d(x, self.weight, padding=1), norms.T
        else:
            x = self.filter(F.conv_transpose2d(x, self.weight, stride=2), 1, gain=4.0)
        x = x * torch.rsqrt(s.square() @ norms + 1e-8)[:, :, None, None]
        return _leaky(x + self.strength * noise + self.bias[:, None, None])


class Colours(nn.Module):
    """A 1x1 convolution, modulated alone."""

    def __init__(self, c, channels, styles):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, c, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.style = EqualLinear(styles, c, start=1.0)

    def forward(self, x, w):
        s = self.style(w) / math.sqrt(x.shape[1])
        return F.conv2d(x * s[:, :, None, None], self.weight, self.bias)


class Synthesis(nn.Module):
    def __init__(self, size, channels, width, most, styles):
        super().__init__()
        self.sizes = [2**i for i in range(2, size.bit_length())]
        features = [min(width * size // at, most) for at in self.sizes]
        self.constant = nn.Parameter(torch.randn(features[0], 4, 4))
        c = features[0]
        for at, out in zip(self.sizes, features, strict=True):
            if at > 4:
                self.add_module(f"conv{at}_up", StyledConv(c, out, styles, True))
            self.add_module(f"conv{at}_same", StyledConv(out, out, styles, False))
            self.add_module(f"colours{at}", Colours(out, channels, styles))
            c = out
        self.filter = Filter()
        self.pixels = [at**2 for at in self.sizes for _ in range(1 + (at > 4))]

    def forward(self, w, noise):
        noise = [
            x.view(-1, 1, n, n) for x, n in ((x, math.isqrt(x.shape[1])) for x in noise.split(self.pixels, 1))
        ]
        x, image, layer = self.constant.expand(len(w), -1, -1, -1), None, 0
        for at in self.sizes:
            for name in ("same",) if at == 4 else ("up", "same"):
                x = getattr(self, f"conv{at}_{name}")(x, w[:, layer], noise[layer])
                layer += 1
            added = getattr(self, f"colours{at}")(x, w[:, layer])
            image = added if image is None else self.filter.double(image) + added
        return image


class Mapping(nn.Module):
    def __init__(self, latent, styles, layers):
        super().__init__()
        for i in range(layers):
            dense = EqualLinear(styles if i else latent, styles, lr_multiplier=0.01)
            self.add_module(f"dense{i}", dense)

    def forward(self, z):
        z = pixel_norm(z)
        for dense in self.children():
            z = _leaky(dense(z))
        return z


class Generator(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.mapped = Mapping(cfg.latent, cfg.styles, cfg.mapping)
        self.synthesis = Synthesis(cfg.image_size, cfg.channels, cfg.width, cfg.most, cfg.styles)
        self.layers, self.mixing = 2 * len(self.synthesis.sizes), cfg.mixing
        self.register_buffer("average", torch.zeros(cfg.styles))

    def map(self, z, other, mixing, average=False):
        """w [B, layers, styles]: of some examples those of another z from a layer on."""
        w, other = self.mapped(z), self.mapped(other)
        if average:
            with torch.no_grad():
                self.average.lerp_(w.mean(0), 0.002)
        place, chance = mixing.T
        cut = 1 + (place * (self.layers - 1)).floor()
        cut = torch.where(chance < self.mixing, cut, self.layers)
        first = torch.arange(self.layers, device=w.device) < cut[:, None]
        return torch.where(first[:, :, None], w[:, None], other[:, None])


class Halving(nn.Module):
    def __init__(self, c, out):
        super().__init__()
        self.beside = EqualConv(c, out, 1, bias=False)
        self.first = EqualConv(c, c, 3, padding=1)
        self.second = EqualConv(c, out, 3, stride=2)
        self.filter = Filter()

    def forward(self, x):
        y = _leaky(self.second(self.filter(_leaky(self.first(x)), 2)))
        return (y + self.beside(self.filter.halve(x))) * math.sqrt(0.5)


class Discriminator(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        features = lambda size: min(cfg.width * cfg.image_size // size, cfg.most)  # noqa: E731
        size = cfg.image_size
        self.colours = EqualConv(cfg.channels, features(size), 1)
        self.blocks = []
        while size > 4:
            block = Halving(features(size), features(size // 2))
            self.add_module(f"block{size}", block)
            self.blocks.append(block)
            size //= 2
        top = features(4)
        self.last = EqualConv(top + 1, top, 3, padding=1)
        self.dense = EqualLinear(16 * top, top)
        self.logit = EqualLinear(top, 1)

    def forward(self, x):
        x = _leaky(self.colours(x))
        for block in self.blocks:
            x = block(x)
        x = _leaky(self.last(with_std(x)))
        return self.logit(_leaky(self.dense(x.flatten(1))))[:, 0]


class StyleGan2(in_torch.ConfigGame):
    """Lazy terms are left as they are: both have second derivatives."""

    networks = Generator, Discriminator

    def __init__(self, name, case):
        super().__init__(name, case)
        self.lazy = {"path_length": ("g", self.cfg.path_every), "r1": ("d", self.cfg.r1_every)}
        self.mean = 0.0

    def adam(self, who):
        cfg = self.cfg
        lr, every = {"g": (cfg.g_lr, cfg.path_every), "d": (cfg.d_lr, cfg.r1_every)}[who]
        share = every / (every + 1)
        return dict(lr=share * lr, betas=(cfg.beta1**share, cfg.beta2**share))

    def average(self, step):
        images = min(self.cfg.ema_images, self.cfg.ema_ramp * self.case.batch * (step + 1))
        return 0.5 ** (self.case.batch / images)

    def draw(self, **on):
        n, latent = self.case.batch, self.case.latent
        return {
            "z": torch.randn(n, latent, **on),
            "other": torch.randn(n, latent, **on),
            "mixing": torch.rand(n, 2, **on),
            "noise": torch.randn(n, sum(self.g.synthesis.pixels), **on),
            "path": torch.randn(n, *self.case.shape[::-1], **on),
        }

    def styles(self, drawn, average=False):
        return self.g.map(drawn["z"], drawn["other"], drawn["mixing"], average)

    def d_loss(self, drawn, real):
        with torch.no_grad():
            fake = self.g.synthesis(self.styles(drawn), drawn["noise"])
        return (F.softplus(-self.d(real)) + F.softplus(self.d(fake))).mean()

    def g_loss(self, drawn, real):
        fake = self.g.synthesis(self.styles(drawn, average=True), drawn["noise"])
        return F.softplus(-self.d(fake)).mean()

    def r1(self, drawn, real):
        real = real.detach().requires_grad_()
        weight = self.cfg.gamma / 2 * self.cfg.r1_every
        return weight * in_torch.squared_gradient(self.d(real), real).mean()

    def path_length(self, drawn, real):
        cfg, w = self.cfg, self.styles(drawn, average=True)
        image = self.g.synthesis(w, drawn["noise"])
        y = drawn["path"] / cfg.image_size
        (slope,) = torch.autograd.grad((image * y).sum(), w, create_graph=True)
        lengths = (slope.square().sum((1, 2)) / self.g.layers).sqrt()
        self.mean = self.mean + cfg.path_decay * (lengths.detach().mean() - self.mean)
        return cfg.path_every * cfg.path_weight * (lengths - self.mean).square().mean()


game = StyleGan2
