"""How strong R1 and how high the rates may be, on a DCGAN of the digits without normalisation of D.

python -m experiments.ablations.r1_rates

"""

from experiments import toolbox
from jaxgan import sweeps

cfg = toolbox.Config(width=16, norm="none", steps=1500)
rates = [5e-4, 1e-3, 2e-3, 4e-3]
grid = {"r1": [0.1, 1.0, 10.0, 100.0], "d_lr": rates}

if __name__ == "__main__":
    sweeps.main(toolbox, cfg, grid, options=sweeps.Options(baseline="r1=1,d_lr=1e-3"))
