"""The figures of the thesis, drawn from runs of this package: runs and figures as data, pictures, report."""

from tf_nqs.studies.figures.definitions import SCALES, Curve, FigureDefinition, load_figures, load_runs

__all__ = ["SCALES", "Curve", "FigureDefinition", "load_figures", "load_runs"]
