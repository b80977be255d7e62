import json
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from cracklib.metrics import (
    ClassificationMetrics,
    HeatmapTally,
    balanced_weights,
    fit_line,
    fit_temperature,
    measure_auc_gain,
    measure_by_source,
    measure_classification,
    precision_recall_curve,
    reliability_curve,
    roc_curve,
)


def value(estimate):
    return None if estimate is None else pytest.approx(estimate.value)


def measured(labels, probabilities, threshold=0.5):
    return measure_classification(labels, probabilities, threshold)


class TestClassification:
    def test_every_metric_by_hand(self):
        # Called cracked: .9 .8 .6 .5 -> 3 hits of 4 cracks, 1 false alarm among 2 clean walls.
        labels = [1, 1, 0, 1, 1, 0]
        probabilities = [0.9, 0.8, 0.6, 0.5, 0.3, 0.1]
        found = measured(labels, probabilities)
        assert (found.photos, found.cracks) == (6, 4)
        assert value(found.accuracy) == 4 / 6
        assert value(found.balanced_accuracy) == (3 / 4 + 1 / 2) / 2
        assert value(found.precision) == 3 / 4
        assert value(found.recall) == 3 / 4
        assert value(found.f1) == 3 / 4
        assert value(found.false_alarm_rate) == 1 / 2
        # Of the 8 pairs, .6 beats .5 and .3.
        assert value(found.auc) == 6 / 8

    def test_a_probability_at_the_threshold_is_called_cracked(self):
        assert value(measured([1, 0], [0.7, 0.2], threshold=0.7).recall) == 1.0
        assert value(measured([1, 0], [0.7, 0.2], threshold=0.71).recall) == 0.0

    def test_calibration_error_by_hand(self):
        # Bins of 1/15. (0.8, 13/15]: mean 0.83, 1 of 2 cracked; (0, 1/15]: 0.05, none of 1;
        # 1.0 belongs to the last bin: 1.0, 1 of 1.
        found = measured([1, 0, 0, 1], [0.82, 0.84, 0.05, 1.0])
        assert value(found.calibration_error) == (2 * 0.33 + 1 * 0.05 + 0) / 4

    def test_calibration_bins_are_closed_above(self):
        # 0.2 = 3/15 shares the bin of 0.19, not that of 0.21.
        found = measured([0, 1, 0], [0.2, 0.19, 0.21])
        assert value(found.calibration_error) == (abs(1 - 0.39) + 0.21) / 3

    @given(
        st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30).filter(
            lambda rows: 0 < sum(label for label, _ in rows) < len(rows)
        )
    )
    def test_auc_is_the_share_of_pairs_in_order_ties_half(self, rows):
        labels = np.array([label for label, _ in rows])
        scores = np.array([level / 6 for _, level in rows])
        pairs = scores[labels][:, None] - scores[~labels]
        expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
        assert value(measured(labels, scores).auc) == expected

    @pytest.mark.parametrize("label", [0, 1])
    def test_of_one_class_only_what_has_a_meaning_is_given(self, label):
        found = measured([label] * 4, [0.1, 0.2, 0.3, 0.9])
        assert value(found.accuracy) == (1 / 4 if label else 3 / 4)
        assert value(found.recall) == (1 / 4 if label else None)
        assert value(found.false_alarm_rate) == (None if label else 1 / 4)
        assert found.calibration_error is not None
        for undefined in (found.balanced_accuracy, found.precision, found.f1, found.auc):
            assert undefined is None

    def test_nothing_called_cracked_has_no_precision(self):
        found = measured([1, 0], [0.1, 0.2])
        assert found.precision is None
        assert value(found.f1) == 0.0

    def test_interval_of_the_accuracy_is_the_binomial_one(self):
        # 400 photos, 80 % right: 1.96 * sqrt(0.8 * 0.2 / 400) = 0.039 to either side.
        labels = np.tile([1, 0], 200)
        right = np.arange(400) % 5 != 0
        found = measure_classification(labels, np.where(right == labels, 0.9, 0.1), 0.5)
        assert found.accuracy.value == pytest.approx(0.8)
        assert found.accuracy.low == pytest.approx(0.761, abs=0.006)
        assert found.accuracy.high == pytest.approx(0.839, abs=0.006)

    @pytest.mark.parametrize(("n_cracked", "n_sound"), [(3, 3), (55, 10), (60, 180)])
    @pytest.mark.parametrize("separation", [1.0, 2.5])
    def test_intervals_hold_the_truth_nineteen_times_in_twenty(
        self, separation, n_cracked, n_sound
    ):
        rng = np.random.default_rng(1)
        labels = np.repeat([1, 0], [n_cracked, n_sound])
        # Logits of both classes are normal with a deviation of 1, their means ``separation`` apart.
        hit, alarm = norm.cdf([separation / 2, -separation / 2])
        auc = norm.cdf(separation / np.sqrt(2))
        f1 = 2 * hit * n_cracked / (hit * n_cracked + alarm * n_sound + n_cracked)
        held = {"auc": 0, "f1": 0}
        for _ in range(200):
            logits = rng.normal(separation * (labels - 0.5))
            found = measured(labels, 1 / (1 + np.exp(-logits)))
            for name, truth in (("auc", auc), ("f1", f1)):
                estimate = getattr(found, name)
                held[name] += estimate.low <= truth <= estimate.high
        assert min(held.values()) > 0.9 * 200

    def test_calibration_error_of_right_probabilities_is_what_chance_makes_it(self):
        rng = np.random.default_rng(2)
        probabilities = rng.beta(0.5, 0.5, 60)
        within = above = 0
        for _ in range(100):
            right = measured(rng.random(60) < probabilities, probabilities).calibration_error
            within += right.chance_low <= right.value <= right.chance_high
            bold = 1 / (1 + np.exp(-3 * np.log(probabilities / (1 - probabilities))))
            wrong = measured(rng.random(60) < probabilities, bold).calibration_error
            above += wrong.value > wrong.chance_high
        assert within > 88
        assert above > 50

    def test_few_photos_all_right_prove_little(self):
        found = measure_classification([1] * 40 + [0] * 10, [0.9] * 40 + [0.1] * 10, 0.5)
        # Wilson's interval of 0 of 10 ends at z**2 / (10 + z**2), z = 1.96.
        assert found.false_alarm_rate.low == 0
        assert found.false_alarm_rate.high == pytest.approx(0.2775, abs=1e-3)
        assert found.recall.low == pytest.approx(1 - 3.84 / 43.84, abs=1e-3)
        both = np.hypot(0.2775, 3.84 / 43.84)
        assert found.balanced_accuracy.low == pytest.approx(1 - both / 2, abs=1e-3)
        assert found.balanced_accuracy.value == found.balanced_accuracy.high == 1
        assert found.auc.value == found.auc.high == 1
        assert 0.85 < found.auc.low < 0.95
        # Of 40 that are or are called cracked all are hits: F1 = 2 J / (1 + J).
        assert found.f1.low == pytest.approx(2 * 40 / (2 * 40 + 3.84), abs=1e-3)

    def test_measured_again_it_is_the_same(self):
        labels, probabilities = [0, 1, 1, 0, 1], [0.2, 0.4, 0.6, 0.7, 0.9]
        assert measured(labels, probabilities) == measured(labels, probabilities)

    def test_sources_are_measured_apart_then_pooled(self):
        found = measure_by_source(
            [1, 0, 1, 0, 0], [0.9, 0.1, 0.2, 0.8, 0.9], ["b", "b", "a", "a", "c"], 0.5
        )
        assert list(found) == ["a", "b", "c", "overall"]
        accuracies = {name: metrics.accuracy.value for name, metrics in found.items()}
        assert accuracies == pytest.approx({"a": 0.0, "b": 1.0, "c": 0.0, "overall": 0.4})

    def test_to_dict_is_json_with_null_for_the_undefined(self):
        values = json.loads(json.dumps(measured([0, 0], [0.1, 0.2]).to_dict(), allow_nan=False))
        assert values["auc"] is None
        assert values["accuracy"] == {
            "value": 1.0,
            "low": pytest.approx(0.342, abs=1e-3),
            "high": 1.0,
        }
        assert set(values) == {"photos", "cracks", *NAMES}

    @pytest.mark.parametrize(
        ("labels", "probabilities", "message"),
        [
            ([], [], "at least one"),
            ([0, 1], [0.5], "one label"),
            ([0, 2], [0.5, 0.5], "labels"),
            ([0, 1], [0.5, 1.5], "probabilities"),
            ([0, 1], [0.5, float("nan")], "probabilities"),
        ],
    )
    def test_impossible_input_is_refused(self, labels, probabilities, message):
        with pytest.raises(ValueError, match=message):
            measure_classification(labels, probabilities, 0.5)


NAMES = [
    field.name for field in fields(ClassificationMetrics) if field.name not in ("photos", "cracks")
]


class TestTemperature:
    def test_by_hand(self):
        # Margin 2 right 3 times, wrong once: best where sigmoid(2 / T) = 3/4, T = 2 / ln 3.
        logits = [[0.0, 2.0]] * 4
        assert fit_temperature(logits, [1, 1, 1, 0]) == pytest.approx(2 / np.log(3), rel=1e-3)

    def test_a_photo_of_weight_3_counts_like_three(self):
        logits = [[0.0, 2.0]] * 2
        expected = pytest.approx(2 / np.log(3), rel=1e-3)
        assert fit_temperature(logits, [1, 0], weights=[3.0, 1.0]) == expected

    def test_finds_the_temperature_labels_were_drawn_with(self):
        rng = np.random.default_rng(0)
        margin = rng.normal(0, 6, 20_000)
        labels = rng.random(20_000) < 1 / (1 + np.exp(-margin / 2.5))
        logits = np.stack([np.full_like(margin, 1.0), margin + 1.0], axis=1)
        assert fit_temperature(logits, labels.astype(int)) == pytest.approx(2.5, rel=0.05)

    def test_stays_finite_and_positive_where_no_optimum_exists(self):
        right, wrong = ([[0.0, 5.0]], [1]), ([[0.0, 5.0]], [0])
        assert 0.05 <= fit_temperature(*right) < 0.06
        assert 19 < fit_temperature(*wrong) <= 20

    def test_a_line_finds_the_slope_and_offset_labels_were_drawn_with(self):
        rng = np.random.default_rng(0)
        scores = rng.normal(2, 3, 20_000)
        labels = rng.random(20_000) < 1 / (1 + np.exp(-(0.8 * scores - 2)))
        slope, offset = fit_line(scores, labels.astype(int))
        assert slope == pytest.approx(0.8, rel=0.05)
        assert offset == pytest.approx(-2, rel=0.05)

    def test_a_line_leaves_out_what_is_given(self):
        rng = np.random.default_rng(0)
        scores, given = rng.normal(0, 3, (2, 20_000))
        labels = rng.random(20_000) < 1 / (1 + np.exp(-(0.8 * scores - 2 + given)))
        slope, offset = fit_line(scores, labels.astype(int), given=given)
        assert slope == pytest.approx(0.8, rel=0.05)
        assert offset == pytest.approx(-2, rel=0.05)

    def test_a_line_puts_even_odds_where_weighted_classes_meet(self):
        slope, offset = fit_line([0, 1, 1, 2], [0, 0, 1, 1], [3, 1, 1, 3])
        assert -offset / slope == pytest.approx(1, abs=0.01)

    def test_a_line_stays_finite_where_classes_do_not_overlap(self):
        slope, offset = fit_line([0, 1, 5, 6], [0, 0, 1, 1])
        assert 0 < slope < 20
        assert 1 < -offset / slope < 5

    def test_refuses_logits_that_are_not_two_a_photo(self):
        with pytest.raises(ValueError, match="logits"):
            fit_temperature([0.1, 0.2], [0, 1])


def test_every_source_and_in_it_every_class_counts_alike():
    labels, sources = [0, 0, 0, 1, 0, 0], ["a", "a", "a", "a", "street", "street"]
    expected = [1 / 12, 1 / 12, 1 / 12, 1 / 4, 1 / 4, 1 / 4]
    np.testing.assert_allclose(balanced_weights(labels, sources), expected)


class TestHeatmaps:
    def test_by_hand(self):
        # Thresholds above .5 call the hot pixel (right), above .2 also a wrong one, above .05
        # the second crack pixel: AP = 1 * 1/2 + 2/3 * 1/2.
        tally = HeatmapTally()
        heat = np.array([[0.9, 0.5], [0.2, 0.05]], np.float32)
        tally.add(heat, np.array([[True, False], [True, False]]))
        found = tally.metrics()
        assert found.photos == 1
        assert found.pxap == pytest.approx(0.5 + 1 / 3)
        assert found.f1 == pytest.approx(2 * 2 / (3 + 2))
        assert found.iou == pytest.approx(2 / 3)
        assert found.threshold == pytest.approx(0.2, abs=0.0011)
        assert found.pointing == 1.0

    def test_agrees_with_counting_at_every_threshold_over_all_photos(self):
        rng = np.random.default_rng(5)
        tally = HeatmapTally()
        heats, masks = [], []
        for height, width in ((20, 30), (15, 15), (40, 8)):
            mask = rng.random((height, width)) < 0.2
            heat = np.clip(0.3 * mask + 0.8 * rng.random((height, width)), 0, 1).astype(np.float32)
            tally.add(heat, mask)
            heats.append(heat.ravel())
            masks.append(mask.ravel())
        heat, mask = np.concatenate(heats).astype(float), np.concatenate(masks)
        pxap = recall_before = best_f1 = best_iou = 0.0
        for i in range(999, -1, -1):
            called = heat >= i / 1000
            if not called.any():
                continue
            tp = (called & mask).sum()
            pxap += tp / called.sum() * (tp / mask.sum() - recall_before)
            recall_before = tp / mask.sum()
            best_f1 = max(best_f1, 2 * tp / (called.sum() + mask.sum()))
            best_iou = max(best_iou, tp / (called | mask).sum())
        found = tally.metrics()
        assert found.pxap == pytest.approx(pxap, abs=1e-4)
        assert found.f1 == pytest.approx(best_f1, abs=1e-4)
        assert found.iou == pytest.approx(best_iou, abs=1e-4)

    def test_a_heatmap_equal_to_its_mask_is_perfect(self):
        mask = np.zeros((30, 30), bool)
        mask[10, 5:25] = True
        tally = HeatmapTally()
        tally.add(mask.astype(np.float32), mask)
        found = tally.metrics()
        assert (found.pxap, found.f1, found.iou, found.pointing) == (1.0, 1.0, 1.0, 1.0)
        assert found.tolerant_f1 == 1.0

    def test_flat_heat_scores_the_share_of_cracked_pixels(self):
        mask = np.zeros((10, 10), bool)
        mask[0, :] = True
        tally = HeatmapTally()
        tally.add(np.zeros((10, 10), np.float32), mask)
        assert tally.metrics().pxap == pytest.approx(0.1)

    @pytest.mark.parametrize(("column", "hit"), [(15, 1.0), (16, 0.0)])
    def test_pointing_margin_is_15_px(self, column, hit):
        mask = np.zeros((5, 40), bool)
        mask[:, 0] = True
        heat = np.zeros((5, 40), np.float32)
        heat[2, column] = 0.1
        tally = HeatmapTally()
        tally.add(heat, mask)
        assert tally.metrics().pointing == hit

    @pytest.mark.parametrize(("beside_px", "f1"), [(2, 1.0), (3, 0.0)])
    def test_two_pixels_beside_the_crack_are_forgiven(self, beside_px, f1):
        mask = np.zeros((20, 20), bool)
        mask[8] = True
        heat = np.zeros((20, 20), np.float32)
        heat[8 + beside_px] = 0.6
        tally = HeatmapTally()
        tally.add(heat, mask)
        found = tally.metrics()
        # What is left at 3 px is to call everything: 5 rows of 20 lie near the crack.
        assert found.tolerant_f1 == pytest.approx(f1 or 2 * 0.25 / 1.25)
        assert found.f1 == pytest.approx(2 / 21)

    def test_tolerant_f1_by_hand(self):
        mask = np.zeros((30, 40), bool)
        mask[4] = True
        heat = np.zeros((30, 40), np.float32)
        heat[4, :20] = 0.9  # reaches 22 of the 40
        heat[0, 30:] = 0.5  # 4 px off: 10 false
        tally = HeatmapTally()
        tally.add(heat, mask)
        assert tally.metrics().tolerant_f1 == pytest.approx(2 * 0.55 / 1.55)

    def test_equally_hot_pixels_point_by_their_share(self):
        mask = np.zeros((1, 40), bool)
        mask[0, 0] = True
        tally = HeatmapTally()
        tally.add(np.zeros((1, 40), np.float32), mask)
        assert tally.metrics().pointing == pytest.approx(16 / 40)

    def test_tallies_add_up_to_the_tally_of_all_photos(self):
        rng = np.random.default_rng(2)
        one, other, both = HeatmapTally(), HeatmapTally(), HeatmapTally()
        for tally in (one, other, other):
            heat, mask = rng.random((50, 60), dtype=np.float32), rng.random((50, 60)) < 0.001
            tally.add(heat, mask)
            both.add(heat, mask)
        assert (one + other).metrics() == both.metrics()
        assert one.metrics().photos == 1

    def test_photos_without_a_crack_don_t_take_part_in_the_pointing_game(self):
        tally = HeatmapTally()
        heat = np.array([[0.0, 1.0]], np.float32)
        tally.add(heat, np.array([[False, True]]))
        tally.add(heat, np.array([[False, False]]))
        found = tally.metrics()
        assert found.pointing == 1.0
        assert found.pxap == pytest.approx(0.5)

    def test_without_any_crack_nothing_is_defined(self):
        tally = HeatmapTally()
        tally.add(np.ones((2, 2), np.float32), np.zeros((2, 2), bool))
        assert set(tally.metrics().to_dict().values()) == {1, None}

    @pytest.mark.parametrize(
        ("heat", "message"),
        [
            (np.zeros((2, 3), np.float32), "one size"),
            (np.full((2, 2), 1.5, np.float32), "heat"),
            (np.full((2, 2), np.nan, np.float32), "heat"),
        ],
    )
    def test_impossible_input_is_refused(self, heat, message):
        with pytest.raises(ValueError, match=message):
            HeatmapTally().add(heat, np.ones((2, 2), bool))


def test_every_source_and_class_weighs_alike():
    weights = balanced_weights([1, 1, 0, 0, 0], ["a", "a", "a", "b", "b"])
    assert weights == pytest.approx([1 / 8, 1 / 8, 1 / 4, 1 / 4, 1 / 4])


# Labels and levels that tie often, of both classes.
SCORED = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30).filter(
    lambda rows: 0 < sum(label for label, _ in rows) < len(rows)
)


def split(rows):
    return np.array([label for label, _ in rows]), np.array([level / 6 for _, level in rows])


class TestCurves:
    def test_roc_by_hand(self):
        # .9 finds the first of two cracks; .6, shared by a crack and a wall, the second; .2 the
        # last of three walls, after .3.
        found = roc_curve([1, 1, 0, 0, 0], [0.9, 0.6, 0.6, 0.3, 0.2])
        assert found.recall == pytest.approx([0, 1 / 2, 1, 1, 1])
        assert found.false_alarm_rate == pytest.approx([0, 0, 1 / 3, 2 / 3, 1])

    @given(SCORED)
    def test_area_under_roc_is_the_auc(self, rows):
        labels, probabilities = split(rows)
        x, y = roc_curve(labels, probabilities)
        assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
        assert value(measured(labels, probabilities).auc) == np.trapezoid(y, x)

    def test_precision_recall_by_hand(self):
        found = precision_recall_curve([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
        assert found.recall == pytest.approx([0, 1 / 2, 1 / 2, 1, 1])
        assert found.precision == pytest.approx([1, 1, 1 / 2, 2 / 3, 1 / 2])

    @given(SCORED)
    def test_area_under_precision_recall_is_the_average_precision(self, rows):
        # The mean over cracks of the precision where each is just called.
        labels, probabilities = split(rows)
        expected = np.mean([labels[probabilities >= p].mean() for p in probabilities[labels]])
        recall, precision = precision_recall_curve(labels, probabilities)
        assert np.diff(recall) @ precision[1:] == pytest.approx(expected)

    def test_reliability_by_hand(self):
        # The bins (0, 1/15] with .05, (12/15, 13/15] with .82 and .84, and the last with 1.
        found = reliability_curve([1, 0, 0, 1], [0.82, 0.84, 0.05, 1.0])
        assert found.photos.tolist() == [1, 2, 1]
        assert found.probability == pytest.approx([0.05, 0.83, 1.0])
        assert found.cracked == pytest.approx([0, 1 / 2, 1])

    @given(SCORED)
    def test_gaps_of_the_reliability_curve_are_the_calibration_error(self, rows):
        labels, probabilities = split(rows)
        photos, probability, cracked = reliability_curve(labels, probabilities)
        expected = photos @ abs(cracked - probability) / len(rows)
        assert value(measured(labels, probabilities).calibration_error) == expected

    @pytest.mark.parametrize("curve", [roc_curve, precision_recall_curve])
    def test_one_class_alone_has_no_curve(self, curve):
        with pytest.raises(ValueError, match="both classes"):
            curve([1, 1], [0.2, 0.3])


class TestAucGain:
    def test_by_hand(self):
        # Before, 2 of 4 pairs are in order; after, all.
        labels = [1, 1, 0, 0]
        found = measure_auc_gain(labels, [0.9, 0.1, 0.4, 0.5], [0.9, 0.8, 0.4, 0.5])
        assert found.value == pytest.approx(1 / 2)
        assert 0 <= found.low < 1 / 2 < found.high <= 1

    def test_interval_is_that_of_the_pairs(self):
        # Two models that rank nearly alike differ little, however uncertain either's AUC.
        rng = np.random.default_rng(0)
        labels, p = np.tile([0, 1], 50), rng.random(100)
        found = measure_auc_gain(labels, p, p + 1e-2 * rng.random(100) * (1 - p))
        auc = measured(labels, p).auc
        assert found.high - found.low < 0.1 * (auc.high - auc.low)

    def test_nothing_is_learnt_where_no_resample_differs(self):
        assert measure_auc_gain([0, 1], [0.5, 0.2], [0.1, 0.9]) is None
        assert measure_auc_gain([0, 1, 0, 1], [0.2, 0.3, 0.1, 0.8], [0.1, 0.8, 0.2, 0.9]) is None

    def test_undefined_for_one_class(self):
        assert measure_auc_gain([1, 1], [0.1, 0.2], [0.3, 0.4]) is None
