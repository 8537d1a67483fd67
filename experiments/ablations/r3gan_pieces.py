"""The pieces of R3GAN: relativistic pairing, R1 and R2 on stacked digits (Huang et al. 2024, table 1).

python -m experiments.ablations.r3gan_pieces

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
