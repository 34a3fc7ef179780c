"""Generative adversarial network (Goodfellow et al., 2014).

https://arxiv.org/abs/1406.2661

Two networks play against each other. The generator turns noise into samples; the discriminator is shown real
data and such samples and tells them apart; each gets better at beating the other. Nobody writes down a
density or a distance between pictures: the discriminator is the loss, and it is learned.

    noise z (B, Z) --generator--> samples G(z) (B, D) --.
                                                        +--discriminator--> logits (B, 1), D = sigmoid(logit)
                                  data x (B, D) --------'

    min over G, max over D of   E[log D(x)] + E[log(1 - D(G(z)))]        at the end D = 1/2 everywhere

Sizes by default are those of Example 1 of notes 004: the generator 1-5-5-1 learns N(1, 1) from uniform noise
on [-1, 1] against the discriminator 1-10-10-1, all tanh.

Differs from the paper: a toy in one dimension with tanh, where the paper has rectifiers, maxout and images;
the discriminator gives a logit, so that the losses stay finite; how the two are trained is the task's.
See also: models/linear/mlp.py, which both networks are; ``didact train gan``.
"""

# B batch, Z width of the noise, D width of a sample

from torch import Tensor, nn

from didact.errors import UsageError
from didact.models.linear.mlp import MLP


class GAN(nn.Module):
    """A generator G: z -> sample, and a discriminator whose sigmoid is D: sample -> P(sample is real).

    Args:
        noise_dim: Z, numbers of noise a sample is made from.
        data_dim: D, numbers in a sample.
        generator_widths: Neurons of the generator's hidden layers.
        discriminator_widths: Neurons of the discriminator's hidden layers.
        activation: A name of ``didact.nn.activation``, for all hidden layers; both outputs are linear.

    Input: noise (B, Z). Output: samples (B, D). ``model.discriminator(x)``: samples (B, D) to logits (B, 1).
    Parameters: 46 of the generator and 141 of the discriminator, by default.

    Example:
        >>> import torch
        >>> model = GAN()
        >>> model.discriminator(model(torch.rand(8, 1) * 2 - 1)).shape
        torch.Size([8, 1])
    """

    def __init__(
        self,
        noise_dim: int = 1,
        data_dim: int = 1,
        generator_widths: tuple[int, ...] = (5, 5),
        discriminator_widths: tuple[int, ...] = (10, 10),
        activation: str = "tanh",
    ):
        super().__init__()
        for name, value in (("noise_dim", noise_dim), ("data_dim", data_dim)):
            if value < 1:
                raise UsageError(f"{name}={value}: must be 1 or more, try 1")
        for name, widths in (
            ("generator_widths", generator_widths),
            ("discriminator_widths", discriminator_widths),
        ):
            if any(width < 1 for width in widths):
                raise UsageError(f"{name}={widths}: each hidden layer needs 1 neuron or more, try (5, 5)")
        self.noise_dim = noise_dim
        self.data_dim = data_dim
        self.generator_widths = generator_widths
        self.discriminator_widths = discriminator_widths
        self.activation = activation
        self.generator = MLP(noise_dim, data_dim, generator_widths, activation)
        self.discriminator = MLP(data_dim, 1, discriminator_widths, activation)

    def forward(self, noise: Tensor) -> Tensor:
        """Make a sample of each row of noise."""
        return self.generator(noise)
