"""The figures of the thesis, drawn from runs of this package: arms and figures as data, runs, pictures, report."""

from tf_nqs.studies.figures.definitions import SCALES, Arm, Curve, FigureDefinition, load_arms, load_figures

__all__ = ["SCALES", "Arm", "Curve", "FigureDefinition", "load_arms", "load_figures"]
