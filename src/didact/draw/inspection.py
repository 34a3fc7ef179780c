"""Where parameters, MACs and activations of a network lie: a bar for each layer."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from didact.draw.style import BLUE, GREEN, VERMILION, new_figure, styled

COLOURS = (BLUE, VERMILION, GREEN)
NAMED = 40  # layers that still have room for their names


@styled
def draw_inspection(names: Sequence[str], costs: Mapping[str, Sequence[int]]) -> Figure:
    """Draw the share of each layer.

    Args:
        names: The layers, in order.
        costs: Numbers of each layer, by what they are.
    """
    figure = new_figure(2.6 * len(costs) + 1.2, max(2.4, 0.8 + 0.16 * min(len(names), NAMED)))
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for axes, (title, numbers), colour in zip(panels, costs.items(), COLOURS, strict=False):
        total = sum(numbers) or 1
        axes.barh(range(len(names)), [100 * number / total for number in numbers], color=colour)
        axes.set_title(title)
        axes.set_xlabel(f"% of {sum(numbers):,}")
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    if len(names) <= NAMED:
        panels[0].set_yticks(range(len(names)), names)
    else:
        panels[0].set_ylabel("layer")
    return figure
