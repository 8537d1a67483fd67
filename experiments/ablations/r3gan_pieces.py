"""The pieces of R3GAN: relativistic pairing, R1 and R2 on stacked digits (Huang et al. 2024, table 1).

    python -m experiments.ablations.r3gan_pieces

Claim: of stacked MNIST's 1000 modes the whole loss covers 1000, the non-saturating one with both penalties
693, and without R2 training diverges, with either loss.

Measured by this command in 26 minutes on two shared cores of an Intel Xeon (family 6 model 207), seeds 0 to
4: modes of the 1000 of stacked 8x8 digits in 26,000 samples, the mean over seeds and its 95 % interval.

| method | captured | 95 % | worst | against R3GAN | 95 % | seeds needed |
| --- | --- | --- | --- | --- | --- | --- |
| non-saturating | 54.8 | 7.7 to 102 | 18 | -343 | -514 to -173 | 4 |
| ... with R1 | 283.2 | 248 to 319 | 246 | -115 | -263 to 32.9 | 11 |
| ... with R1 and R2 | 366.6 | 242 to 492 | 244 | -31.6 | -212 to 149 | 169 |
| relativistic | 113.8 | 93.8 to 134 | 90 | -284 | -466 to -103 | 5 |
| ... with R1 | 275.4 | 187 to 364 | 163 | -123 | -270 to 24.1 | 10 |
| ... with R1 and R2 (R3GAN) | 398.2 | 220 to 576 | 231 | | | |

The order is the paper's. Without penalties relativistic pairing alone has twice the modes; beside both,
what it adds is not told apart from nothing, and would take 169 seeds. Without R2 nothing diverges here: it
covers less.
"""

import dataclasses

from experiments import mixtures
from jaxgan import sweeps

cfg = mixtures.Config(data="stacked", protocol="stacked", method="r3gan")
grid = {"method": ["gan", "gan_r1", "gan_r1_r2", "rpgan", "rpgan_r1", "r3gan"]}
loop = dataclasses.replace(mixtures.loop, evaluate_every=1000)  # 26,000 samples are counted each time

if __name__ == "__main__":
    options = sweeps.Options(metric="captured", baseline="method=r3gan")
    sweeps.main(mixtures, cfg, grid, loop, options)
