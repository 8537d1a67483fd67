"""The weight of WGAN-GP's penalty and the critic's updates, on a grid of 25 modes (Gulrajani et al. 2017).

python -m experiments.ablations.wgan_gp_critic

"""

from experiments import mixtures
from jaxgan import sweeps

cfg = mixtures.Config(
    method="wgan_gp", data="grid", protocol="veegan", batch_size=256, g_lr=5e-4, d_lr=5e-4, gp_weight=0.1,
    n_critic=5, steps=1500, anneal=True, ema_decay=0.99
)  # fmt: skip
grid = {"gp_weight": [0.01, 0.1, 1.0], "n_critic": [1, 2, 5]}

if __name__ == "__main__":
    sweeps.main(mixtures, cfg, grid, options=sweeps.Options(baseline="gp_weight=0.1,n_critic=5"))
