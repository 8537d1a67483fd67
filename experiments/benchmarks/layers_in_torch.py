"""Layers that several of the networks in PyTorch share."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class EqualConv(nn.Module):
    """Conv2d with an equalized learning rate."""

    def __init__(self, c, out, size, stride=1, padding=0, bias=True, gain=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, c, size, size))
        self.bias = nn.Parameter(torch.zeros(out)) if bias else None
        self.scale, self.stride, self.padding = gain / math.sqrt(c * size**2), stride, padding

    def forward(self, x):
        return F.conv2d(x, self.weight * self.scale, self.bias, self.stride, self.padding)


class EqualLinear(nn.Module):
    """Linear, likewise."""

    def __init__(self, c, out, gain=1.0, lr_multiplier=1.0, start=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, c) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out,), start))
        self.scale, self.lr_multiplier = gain * lr_multiplier / math.sqrt(c), lr_multiplier

    def forward(self, x):
        bias = self.bias if self.lr_multiplier == 1 else self.bias * self.lr_multiplier
        return F.linear(x, self.weight * self.scale, bias)


def leaky(x):
    return F.leaky_relu(x, 0.2)


def pixel_norm(x):
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def with_std(x):
    """x [B, C, H, W] with a channel that tells how much groups of four examples differ."""
    n, _, h, w = x.shape
    group = min(4, n)
    variance = x.reshape(group, n // group, -1).var(0, unbiased=False)
    std = (variance / ((variance + 1e-8).sqrt() + 1e-4)).mean(1)
    return torch.cat([x, std.repeat(group).view(n, 1, 1, 1).expand(n, 1, h, w)], 1)


class Filter(nn.Module):
    """The low-pass filter [1, 3, 3, 1] along both axes, channel by channel, with zeros beyond the edges."""

    def __init__(self):
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("taps", torch.outer(taps, taps)[None, None])

    def kernel(self, x, gain=1.0):
        return (gain * self.taps).expand(x.shape[1], 1, 4, 4)

    def forward(self, x, padding, stride=1, gain=1.0):
        return F.conv2d(x, self.kernel(x, gain), stride=stride, padding=padding, groups=x.shape[1])

    def double(self, x):
        return F.conv_transpose2d(x, self.kernel(x, 4.0), stride=2, padding=1, groups=x.shape[1])

    def halve(self, x):
        return self(x, 1, stride=2)
