"""How far to stretch a crop's contrast: top-1 on validation, as it is and made flatter."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score
from tqdm import tqdm

from fer.classify import Classifier
from fer.hub import load_classifier
from fer.image import image_to_frame
from train.data.dataset import OpenDataset
from train.measure.figures import macro_f1
from train.measure.robustness import corrupt

__all__ = ["measure_contrast"]

PERCENTILES = (None, 0.2, 0.5, 1.0, 2.0, 5.0)
# Of each pixel's distance from the mean gray of its image.
FACTORS = (1.0, 0.7, 0.5, 0.3)


def measure_contrast(dataset: OpenDataset, results: Path) -> pd.DataFrame:
    """Measure the bundled network with each stretch percentile on pictures of falling contrast.

    Args:
        dataset: its validation images without twins are used.
        results: folder to write contrast.csv in.

    Returns:
        Columns percentile (empty for none), contrast, top1 and macro_f1 in percent.
    """
    rows = dataset.fresh_rows("validation")
    labels = np.asarray(rows["label"])
    crops = [image_to_frame(row["image"]) for row in rows]
    bundled = load_classifier()
    table = []
    for percentile in tqdm(PERCENTILES, unit=" percentiles", disable=None):
        config = replace(bundled.config, stretch_percentile=percentile)
        classifier = Classifier(bundled.network, config)
        for factor in FACTORS:
            flat = [corrupt(crop, "contrast", factor, seed=0) for crop in crops]
            predicted = classifier(flat).argmax(axis=1)
            table.append(
                {
                    "percentile": percentile,
                    "contrast": factor,
                    "top1": round(100 * float(accuracy_score(labels, predicted)), 2),
                    "macro_f1": round(100 * macro_f1(labels, predicted), 2),
                }
            )
    report = pd.DataFrame(table)
    results.mkdir(parents=True, exist_ok=True)
    report.to_csv(results / "contrast.csv", index=False)
    return report
