from cracklib.metrics import CalibrationError, ClassificationMetrics, Estimate, HeatmapMetrics
from cracklib.report import render_classification, render_heatmaps


def metrics(photos, cracks, **estimates):
    names = (
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "auc",
        "false_alarm_rate",
        "calibration_error",
    )
    return ClassificationMetrics(photos, cracks, **dict.fromkeys(names) | estimates)


RESULTS = {
    "everyday": metrics(150, 0, accuracy=Estimate(0.9, 0.85, 0.94)),
    "overall": metrics(
        1402,
        572,
        accuracy=Estimate(0.9532, 0.9311, 0.9719),
        auc=Estimate(1.0, 1.0, 1.0),
        recall=Estimate(0.5, 0.25, 0.75),
        calibration_error=CalibrationError(0.0301, 0.0102, 0.0456),
    ),
}


def test_classification_shows_each_value_with_its_interval_in_its_column():
    lines = render_classification(RESULTS).splitlines()
    assert lines[:4] == [
        "source    photos  cracks  accuracy              balanced accuracy  F1",
        "--------  ------  ------  --------------------  -----------------  --",
        "everyday     150       0  0.900 [0.850, 0.940]  –                  –",
        "overall     1402     572  0.953 [0.931, 0.972]  –                  –",
    ]
    errors, probabilities = lines[8], lines[13]
    assert errors.split()[3:] == ["–", "0.500", "[0.250,", "0.750]", "–"]
    assert probabilities.split()[3:6] == ["1.000", "[1.000,", "1.000]"]
    assert probabilities.endswith("0.030 [chance 0.010, 0.046]")


def test_classification_fits_100_columns_when_everything_is_defined():
    names = [name for name, value in vars(metrics(1, 1)).items() if value is None]
    defined = dict.fromkeys(names, Estimate(0.5, 0.4, 0.6))
    defined["calibration_error"] = CalibrationError(0.5, 0.4, 0.6)
    full = metrics(10_000, 5_000, **defined)
    text = render_classification({"a source of 17 ch": full})
    assert "–" not in text.splitlines()[2]
    assert max(map(len, text.splitlines())) <= 100


def test_heatmaps():
    results = {
        "masonry": HeatmapMetrics(148, 0.3126, 0.4, 0.25, 0.31, 0.875, 0.5),
        "overall": HeatmapMetrics(1, None, None, None, None, None, None),
    }
    assert render_heatmaps(results).splitlines() == [
        "source   photos  PxAP   best F1  best IoU  at heat  F1 within 2 px  pointing game",
        "-------  ------  -----  -------  --------  -------  --------------  -------------",
        "masonry     148  0.313  0.400    0.250     0.310    0.500           0.875",
        "overall       1  –      –        –         –        –               –",
    ]
