"""The same games as a good PyTorch user would write them."""

import importlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from experiments.benchmarks.cases import Cycle


class Net(nn.Module):
    """Layers by the names that flax gives them, so that weights carry over by path."""

    def add(self, name, layer):
        count = sum(1 for key in self._modules if key.rsplit("_", 1)[0] == name)
        self.add_module(f"{name}_{count}", layer)
        return layer


class MlpGenerator(Net):
    def __init__(self, latent, shape):
        super().__init__()
        self.shape, layers = shape, []
        for width in (256, 512, 1024):
            layers += [self.add("Dense", nn.Linear(latent, width)), nn.LeakyReLU(0.2)]
            layers += [self.add("BatchNorm", nn.BatchNorm1d(width, momentum=0.2))]
            latent = width
        layers += [self.add("Dense", nn.Linear(latent, int(np.prod(shape)))), nn.Tanh()]
        self.run = layers

    def forward(self, z):
        for layer in self.run:
            z = layer(z)
        return z.view(-1, *self.shape)


class MlpDiscriminator(Net):
    def __init__(self, shape):
        super().__init__()
        self.run, size = [], int(np.prod(shape))
        for width in (512, 256):
            self.run += [self.add("Dense", nn.Linear(size, width)), nn.LeakyReLU(0.2)]
            size = width
        self.run += [self.add("Dense", nn.Linear(size, 1))]

    def forward(self, x):
        x = x.flatten(1)
        for layer in self.run:
            x = layer(x)
        return x[:, 0]


class RingNet(Net):
    def __init__(self, inputs, features):
        super().__init__()
        self.features = features
        self.layers = [
            self.add("Dense", nn.Linear(*n)) for n in ((inputs, 128), (128, 128), (128, features or 1))
        ]

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        x = self.layers[-1](x)
        return x if self.features else x[:, 0]


class DcganGenerator(Net):
    def __init__(self, latent, size, channels, width=64):
        super().__init__()
        self.top = width * size // 8
        self.add("Dense", nn.Linear(latent, 16 * self.top, bias=False))
        self.norms = [self.add("BatchNorm", nn.BatchNorm2d(self.top))]
        self.ups, c = [], self.top
        while c > width:
            self.ups += [self.add("ConvTranspose", nn.ConvTranspose2d(c, c // 2, 4, 2, 1, bias=False))]
            self.norms += [self.add("BatchNorm", nn.BatchNorm2d(c // 2))]
            c //= 2
        self.ups += [self.add("ConvTranspose", nn.ConvTranspose2d(c, channels, 4, 2, 1))]

    def forward(self, z):
        x = self.Dense_0(z).view(-1, self.top, 4, 4)
        for norm, up in zip(self.norms, self.ups, strict=True):
            x = up(F.relu(norm(x)))
        return torch.tanh(x)


class DcganDiscriminator(Net):
    def __init__(self, size, channels, norm=True, width=64):
        super().__init__()
        self.run, c, out = [], channels, width
        while size > 4:
            first = c == channels
            self.run += [self.add("Conv", nn.Conv2d(c, out, 4, 2, 1, bias=first or not norm))]
            if norm and not first:
                self.run += [self.add("BatchNorm", nn.BatchNorm2d(out))]
            self.run += [nn.LeakyReLU(0.2)]
            c, out, size = out, 2 * out, size // 2
        self.add("Dense", nn.Linear(16 * c, 1))

    def forward(self, x):
        for layer in self.run:
            x = layer(x)
        return self.Dense_0(x.flatten(1))[:, 0]


class UpBlock(Net):
    def __init__(self, c):
        super().__init__()
        for size in (3, 3, 1):
            self.add("Conv", nn.Conv2d(c, c, size, padding=size // 2))
        for _ in range(2):
            self.add("BatchNorm", nn.BatchNorm2d(c))

    def forward(self, x):
        double = lambda x: F.interpolate(x, scale_factor=2)  # noqa: E731
        y = self.Conv_0(double(F.relu(self.BatchNorm_0(x))))
        return self.Conv_1(F.relu(self.BatchNorm_1(y))) + double(self.Conv_2(x))


class ResidualGenerator(Net):
    def __init__(self, latent, width=64):
        super().__init__()
        self.width = width
        self.add("Dense", nn.Linear(latent, 16 * width))
        self.blocks = [self.add("UpBlock", UpBlock(width)) for _ in range(3)]
        self.add("BatchNorm", nn.BatchNorm2d(width))
        self.add("Conv", nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, z):
        x = self.Dense_0(z).view(-1, self.width, 4, 4)
        for block in self.blocks:
            x = block(x)
        return torch.tanh(self.Conv_0(F.relu(self.BatchNorm_0(x))))


class DownBlock(Net):
    def __init__(self, c, out, halve, first):
        super().__init__()
        self.halve, self.first = halve, first
        for n, size in ((c, 3), (out, 3)) + (((c, 1),) if first or halve else ()):
            self.add("SpectralConv", spectral_norm(nn.Conv2d(n, out, size, padding=size // 2)))

    def forward(self, x):
        y = self.SpectralConv_0(x if self.first else F.relu(x))
        y = self.SpectralConv_1(F.relu(y))
        if self.first:
            return F.avg_pool2d(y, 2) + self.SpectralConv_2(F.avg_pool2d(x, 2))
        return F.avg_pool2d(y, 2) + F.avg_pool2d(self.SpectralConv_2(x), 2) if self.halve else y + x


class ResidualDiscriminator(Net):
    def __init__(self, width=64):
        super().__init__()
        self.blocks = [
            self.add("DownBlock", DownBlock(width if i else 3, width, i < 2, i == 0)) for i in range(4)
        ]
        self.add("SpectralDense", spectral_norm(nn.Linear(width, 1)))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.SpectralDense_0(F.relu(x).sum((2, 3)))[:, 0]


class UNet(Net):
    def __init__(self, channels, depth, width=64):
        super().__init__()
        widths = [width * min(2**level, 8) for level in range(depth)]
        self.down = [
            self.add("Conv", nn.Conv2d(c, o, 4, 2, 1))
            for c, o in zip([channels, *widths], widths, strict=False)
        ]
        ups = [
            (widths[-1], widths[-2]),
            *((2 * c, o) for c, o in zip(widths[-2:0:-1], widths[-3::-1], strict=True)),
        ]
        self.up = [self.add("ConvTranspose", nn.ConvTranspose2d(c, o, 4, 2, 1)) for c, o in ups]
        self.up += [self.add("ConvTranspose", nn.ConvTranspose2d(2 * width, channels, 4, 2, 1))]

    def forward(self, z, x):
        maps = []
        for level, conv in enumerate(self.down):
            x = conv(F.leaky_relu(x, 0.2) if level else x)
            x = F.instance_norm(x) if 0 < level < len(self.down) - 1 else x
            maps.append(x)
        for up, skip in zip(self.up[:-1], maps[-2::-1], strict=True):
            x = torch.cat([skip, F.instance_norm(up(F.relu(x)))], 1)
        return torch.tanh(self.up[-1](F.relu(x)))


class PatchDiscriminator(Net):
    def __init__(self, channels, layers=3, width=64, conditional=True):
        super().__init__()
        widths = [width * min(2**level, 8) for level in range(layers + 1)]
        inputs = 2 * channels if conditional else channels
        self.convs = [
            self.add("Conv", nn.Conv2d(c, o, 4, 2 if level < layers else 1, 1))
            for level, (c, o) in enumerate(zip([inputs, *widths], widths, strict=False))
        ]
        self.add("Conv", nn.Conv2d(widths[-1], 1, 4, 1, 1))
        self.last = getattr(self, f"Conv_{layers + 1}")

    def forward(self, x, *given):
        x = torch.cat([*given, x], 1)
        for level, conv in enumerate(self.convs):
            x = conv(x)
            x = F.leaky_relu(F.instance_norm(x) if level else x, 0.2)
        return self.last(x)[:, 0]


class CycleGenerator(Net):
    def __init__(self, channels, blocks=6, width=32):
        super().__init__()
        down = [(channels, width, 7, 1, 0), *((width << i, width << (i + 1), 3, 2, 1) for i in range(2))]
        self.down = [self.add("Conv", nn.Conv2d(*of)) for of in down]
        self.blocks = [
            [self.add("Conv", nn.Conv2d(4 * width, 4 * width, 3)) for _ in range(2)] for _ in range(blocks)
        ]
        self.last = self.add("Conv", nn.Conv2d(width, channels, 7))
        self.up = [
            self.add("ConvTranspose", nn.ConvTranspose2d(width << i, width << (i - 1), 3, 2, 1, 1))
            for i in (2, 1)
        ]

    def forward(self, x):
        padded = lambda x, by: F.pad(x, (by,) * 4, mode="reflect")  # noqa: E731
        x = padded(x, 3)
        for conv in self.down:
            x = F.relu(F.instance_norm(conv(x)))
        for first, second in self.blocks:
            y = F.relu(F.instance_norm(first(padded(x, 1))))
            x = x + F.instance_norm(second(padded(y, 1)))
        for up in self.up:
            x = F.relu(F.instance_norm(up(x)))
        return torch.tanh(self.last(padded(x, 3)))


class Sides(nn.ModuleDict):
    """A network for each of two domains: the generator of its images, or their discriminator."""

    def __init__(self, make):
        super().__init__({side: make() for side in "ab"})


def networks(name, case):
    if name == "i":
        channels = case.shape[2]
        alone = lambda: PatchDiscriminator(channels, width=32, conditional=False)  # noqa: E731
        return Sides(lambda: CycleGenerator(channels)), Sides(alone)
    if name == "h":
        size, _, channels = case.shape
        return UNet(channels, size.bit_length() - 1), PatchDiscriminator(channels)
    if name == "a":
        return MlpGenerator(case.latent, (1, 28, 28)), MlpDiscriminator((1, 28, 28))
    if name == "d":
        return ResidualGenerator(case.latent), ResidualDiscriminator()
    if name == "g":
        return RingNet(case.latent, 2), RingNet(2, None)
    size, _, channels = case.shape
    return (
        DcganGenerator(case.latent, size, channels),
        DcganDiscriminator(size, channels, norm=case.penalty is None),
    )


def image(x):
    """[B, H, W, C] as [B, C, H, W]; other shapes as they are."""
    x = np.array(x)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)) if x.ndim == 4 else x)


def weight(value, path, layout):
    """A flax parameter as PyTorch keeps it."""
    layer, _, kind = path.rpartition("/")
    value = np.asarray(value)
    side, (h, w, c) = layout.get(layer, (None, (1, 1, 1)))
    if kind == "kernel" and value.ndim == 4:
        turned = "ConvTranspose" in layer or side == "transposed"
        value = value[::-1, ::-1].transpose(2, 3, 0, 1) if turned else value.transpose(3, 2, 0, 1)
    elif value.ndim > 2:
        value = np.moveaxis(value, -1, -3)
    else:
        if side == "in" and kind == "kernel":
            value = value.reshape(h, w, c, -1).transpose(2, 0, 1, 3).reshape(h * w * c, -1)
        if side == "out":
            first = value.shape[:-1]
            value = np.moveaxis(value.reshape(*first, h, w, c), -1, -3).reshape(*first, -1)
        value = value.T
    return torch.from_numpy(np.array(value, order="C"))


NAMES = {"kernel": "weight", "scale": "weight"}


def _parameter(net, path):
    """The trained tensor at a flax path."""
    *layers, kind = path.split("/")[1:]
    module = net.get_submodule(".".join(layers))
    if kind == "kernel" and hasattr(module, "parametrizations"):
        return module.parametrizations.weight.original
    return getattr(module, NAMES.get(kind, kind))


@torch.no_grad()
def load(net, params, layout):
    """Copies flax parameters, by path, and returns the tensors in that order."""
    tensors = {path: _parameter(net, path) for path in params}
    for path, tensor in tensors.items():
        tensor.copy_(weight(params[path], path, layout))
    if len(tensors) != len(list(net.parameters())):
        raise ValueError("the two networks have different parameters")
    return tensors


@torch.no_grad()
def load_vectors(net, vectors):
    """Spectral normalisation's left vectors, by the path of their layer."""
    for path, u in vectors.items():
        module = net.get_submodule(".".join(path.split("/")[1:]))
        u = torch.from_numpy(np.array(u))
        norm = module.parametrizations.weight[0]
        norm._u.copy_(u)
        norm._v.copy_(F.normalize(module.parametrizations.weight.original.flatten(1).T @ u, dim=0))


class Game:
    """What a trainer asks of a game; each loss is of the numbers that it draws, the real data and what both
    players are given beside, if anything."""

    compiled = ("d_loss", "g_loss")  # the methods that `torch.compile` takes
    lazy = {}  # losses with updates of their own: method -> (who, every how many steps)
    average = None  # step -> the decay of G's average, where one is kept

    def __init__(self, name, case):
        self.case = case
        self.g, self.d = networks(name, case)

    def adam(self, who):
        """The options of a player's."""
        return dict(lr=2e-4, betas=self.case.betas)

    def draw(self, **on):
        n, case = self.case.batch, self.case
        mix = {} if case.penalty is None else {"mix": torch.rand(n, **on)}
        return {"z": torch.randn(n, case.latent, **on), **mix}

    def d_loss(self, drawn, real, *given):
        case, d = self.case, self.d
        with torch.no_grad():
            fake = self.g(drawn["z"], *given)
        if case.penalty == "r1":
            real = real.detach().requires_grad_()
        real_logits, fake_logits = d(real, *given), d(fake, *given)
        if case.loss == "hinge":
            return (F.relu(1 - real_logits) + F.relu(1 + fake_logits)).mean()
        if case.loss == "wasserstein":
            loss = (fake_logits - real_logits).mean()
        else:
            loss = (F.softplus(-real_logits) + F.softplus(fake_logits)).mean()
        if case.penalty == "r1":
            loss = loss + 5.0 * squared_gradient(real_logits, real).mean()
        if case.penalty == "gradient_penalty":
            loss = loss + 10.0 * to_slope_one(d, real, fake, drawn["mix"])
        return loss

    def g_loss(self, drawn, real, *given):
        case = self.case
        fake = self.g(drawn["z"], *given)
        logits = self.d(fake, *given)
        loss = F.softplus(-logits).mean() if case.loss == "non_saturating" else -logits.mean()
        return loss if case.l1 is None else loss + case.l1 * (fake - real).abs().mean()


class ConfigGame(Game):
    """Of an experiment's config and networks of its own; the decay of G's average is reached step by step."""

    networks = None  # of a config: the generator and the discriminator

    def __init__(self, name, case):
        self.case, self.cfg = case, case.cfg()
        self.g, self.d = (network(self.cfg) for network in self.networks)

    def adam(self, who):
        cfg = self.cfg
        return dict(lr=getattr(cfg, f"{who}_lr"), betas=(cfg.beta1, cfg.beta2))

    def average(self, step):
        return min(self.cfg.ema_decay, (1 + step) / (10 + step))


def squared_gradient(logits, x):
    """The squared norm of each example's gradient, [B]."""
    (grad,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return grad.square().flatten(1).sum(1)


def to_slope_one(d, real, fake, mix):
    """The mean of (||grad D|| - 1)^2 between real and fake."""
    between = torch.lerp(real, fake, mix.view(-1, 1, 1, 1)).requires_grad_()
    return (squared_gradient(d(between), between).sqrt() - 1).square().mean()


class CycleGame(Game):
    compiled = ("judged", "made")

    def judged(self, a, b, fake_a, fake_b):
        loss = 0
        for side, real, fake in (("a", a, fake_a), ("b", b, fake_b)):
            on_real, on_fake = self.d[side](torch.cat([real, fake])).chunk(2)
            loss = loss + ((on_real - 1).square().mean() + on_fake.square().mean()) / 2
        return loss

    def made(self, a, b):
        """(the loss of both generators, what they made of b and of a)."""
        g, d = self.g, self.d
        fake_a, same_a = g["a"](torch.cat([b, a])).chunk(2)
        fake_b, same_b = g["b"](torch.cat([a, b])).chunk(2)
        apart = lambda x, y: (x - y).abs().mean()  # noqa: E731
        loss = (d["a"](fake_a) - 1).square().mean() + (d["b"](fake_b) - 1).square().mean()
        loss = loss + 10 * (apart(g["a"](fake_b), a) + apart(g["b"](fake_a), b))
        return loss + 5 * (apart(same_a, a) + apart(same_b, b)), fake_a, fake_b

    def d_loss(self, drawn, a, b):
        with torch.no_grad():
            fakes = self.g["a"](b), self.g["b"](a)
        return self.judged(a, b, *fakes)

    def g_loss(self, drawn, a, b):
        return self.made(a, b)[0]


def game(name, case):
    return (CycleGame if isinstance(case, Cycle) else Game)(name, case)


def game_of(name, case):
    """PyTorch's side of a case, which may have a module of its own."""
    return importlib.import_module(f"experiments.benchmarks.{case.in_torch}").game(name, case)


def trainer(name, case, mode, seen, device):
    """Of a case, on batches of real data and what is given beside."""
    kind = CycleTrainer if isinstance(case, Cycle) else Trainer
    return kind(game_of(name, case), mode, seen, device)


class Trainer:
    """One mode: "eager", "channels_last" or "compile" (channels last, the game's `compiled` compiled)."""

    def __init__(self, game, mode, seen, device):
        self.game, self.steps, self.on = game, 0, {"device": device}
        layout = {"memory_format": torch.contiguous_format}
        if mode != "eager" and len(game.case.shape) == 3:
            layout = {"memory_format": torch.channels_last}
        game.g.to(device, **layout)
        game.d.to(device, **layout)
        self.players = {"g": game.g, "d": game.d}
        ready = lambda x: x.to(device, **(layout if x.ndim == 4 else {}))  # noqa: E731
        self.real = [tuple(map(ready, of)) for of in seen]
        self.opts = {
            who: torch.optim.Adam(net.parameters(), **game.adam(who), fused=True)
            for who, net in self.players.items()
        }
        self.average = [p.detach().clone() for p in game.g.parameters()] if game.average else []
        for name in game.compiled if mode == "compile" else ():
            setattr(game, name, torch.compile(getattr(game, name)))

    def update(self, who, loss_fn, *seen):
        """One of a player, from numbers drawn anew."""
        self.opts[who].zero_grad()
        loss_fn(self.game.draw(**self.on), *seen).backward()
        self.opts[who].step()

    def lazily(self, of, *seen):
        """The further updates of a player that are due in this step."""
        for name, (who, every) in self.game.lazy.items():
            if who == of and self.steps % every == 0:
                self.update(who, getattr(self.game, name), *seen)

    def step(self):
        game = self.game
        self.lazily("g", *self.real[-1])
        for seen in self.real:
            self.update("d", game.d_loss, *seen)
            self.lazily("d", *seen)
        game.d.requires_grad_(False)
        self.update("g", game.g_loss, *seen)
        game.d.requires_grad_(True)
        if self.average:
            with torch.no_grad():
                torch._foreach_lerp_(self.average, list(game.g.parameters()), 1 - game.average(self.steps))
        self.steps += 1


class CycleTrainer(Trainer):
    """As the authors' code: G first, then D on the images that G has just made. The pool, which shows new
    images until it is full, is left out."""

    def step(self):
        game, ((a, b),) = self.game, self.real
        game.d.requires_grad_(False)
        self.opts["g"].zero_grad()
        loss, *fakes = game.made(a, b)
        loss.backward()
        self.opts["g"].step()
        game.d.requires_grad_(True)
        self.opts["d"].zero_grad()
        game.judged(a, b, *(fake.detach() for fake in fakes)).backward()
        self.opts["d"].step()
