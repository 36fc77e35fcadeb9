//! How sure a share, a difference or a shift can be said to be over a limit.
//!
//! Looks at a growing sample are many, so to fail asks for more than one look would: [`FAIL_Z`] is a one-sided chance of
//! 1 in 2000, which keeps the false alarms of a whole step at 90 % of a limit under 1 % (simulated in `judge_tests`).

use statrs::function::beta::beta_reg;
use statrs::function::erf::erfc;

/// Standard deviations from which a limit counts as broken.
pub const FAIL_Z: f64 = 3.29;
/// The chance that belongs to [`FAIL_Z`].
pub const FAIL_CHANCE: f64 = 0.0005;
/// How sure that is, for people.
pub const FAIL_SURE: &str = "99.9 %";
/// Standard deviations from which a limit counts as kept (one-sided, 95 %); at a step's end also as broken.
pub const PASS_Z: f64 = 1.645;

/// What is known of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sure {
    /// It is broken.
    Above,
    /// It is kept.
    Below,
    /// Neither.
    No,
}

/// Wilson's bounds of a share: `hits` of `tries`.
pub fn wilson(hits: f64, tries: f64, z: f64) -> (f64, f64) {
    if tries <= 0.0 {
        return (0.0, 1.0);
    }
    let share = (hits / tries).clamp(0.0, 1.0);
    let z2 = z * z;
    let scale = 1.0 + z2 / tries;
    let middle = (share + z2 / (2.0 * tries)) / scale;
    let half = z / scale * (share * (1.0 - share) / tries + z2 / (4.0 * tries * tries)).sqrt();
    let low = if share <= 0.0 { 0.0 } else { (middle - half).max(0.0) };
    let high = if share >= 1.0 { 1.0 } else { (middle + half).min(1.0) };
    (low, high)
}

/// The chance of at least `hits` of `tries` when each one hits with `chance`.
pub fn at_least(hits: f64, tries: f64, chance: f64) -> f64 {
    if hits <= 0.0 || chance >= 1.0 {
        return 1.0;
    }
    if chance <= 0.0 {
        return 0.0;
    }
    beta_reg(hits, (tries - hits).max(0.0) + 1.0, chance)
}

/// Whether a share is over `limit`. Wilson's bound is too sure of few hits at small limits, so the exact chance must agree.
pub fn share(hits: f64, tries: f64, limit: f64, z: f64, chance: f64) -> Sure {
    if wilson(hits, tries, z).0 > limit && at_least(hits, tries, limit) < chance {
        Sure::Above
    } else if wilson(hits, tries, PASS_Z).1 <= limit {
        Sure::Below
    } else {
        Sure::No
    }
}

/// A share as it was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Count {
    /// Hits.
    pub hits: f64,
    /// Of these.
    pub tries: f64,
}

impl Count {
    /// The share.
    pub fn share(self) -> f64 {
        if self.tries > 0.0 { self.hits / self.tries } else { 0.0 }
    }
}

/// Bounds of `new - times * old`, from the bounds of both shares (Newcombe's way).
pub fn difference(new: Count, old: Count, times: f64, z: f64) -> (f64, f64) {
    let (new_low, new_high) = wilson(new.hits, new.tries, z);
    let (old_low, old_high) = wilson(old.hits, old.tries, z);
    let (p, q) = (new.share(), old.share());
    let point = p - times * q;
    let low = point - ((p - new_low).powi(2) + (times * (old_high - q)).powi(2)).sqrt();
    let high = point + ((new_high - p).powi(2) + (times * (q - old_low)).powi(2)).sqrt();
    (low, high)
}

/// The chance to see `new` so far above `old` when both came from one place (Mann-Whitney, one-sided): exact for few values
/// without ties, else the normal approximation with ties corrected.
pub fn shifted_up(new: &[f64], old: &[f64]) -> f64 {
    let (n, m) = (new.len(), old.len());
    if n == 0 || m == 0 {
        return 1.0;
    }
    let mut greater = 0.0;
    let mut tied = false;
    for a in new {
        for b in old {
            if a > b {
                greater += 1.0;
            } else if a == b {
                greater += 0.5;
                tied = true;
            }
        }
    }
    if !tied && n <= 20 && m <= 20 {
        return exact(n, m, greater as usize);
    }
    let mut all: Vec<f64> = new.iter().chain(old).copied().collect();
    all.sort_by(f64::total_cmp);
    let total = (n + m) as f64;
    let ties: f64 = all.chunk_by(|a, b| a == b).map(|group| (group.len() as f64).powi(3) - group.len() as f64).sum();
    let product = (n * m) as f64;
    let variance = product / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let z = (greater - product / 2.0 - 0.5) / variance.sqrt();
    0.5 * erfc(z / std::f64::consts::SQRT_2)
}

/// The chance that of all pairs at least `greater` have the new one above.
fn exact(n: usize, m: usize, greater: usize) -> f64 {
    // Orders of i new and j old values by their number of such pairs: the greatest value is new (above all j old) or old.
    let mut ways = vec![vec![Vec::<f64>::new(); m + 1]; n + 1];
    for i in 0..=n {
        for j in 0..=m {
            let mut row = vec![0.0; i * j + 1];
            if i == 0 || j == 0 {
                row[0] = 1.0;
            } else {
                for (pairs, count) in ways[i - 1][j].iter().enumerate() {
                    row[pairs + j] += count;
                }
                for (pairs, count) in ways[i][j - 1].iter().enumerate() {
                    row[pairs] += count;
                }
            }
            ways[i][j] = row;
        }
    }
    let row = &ways[n][m];
    let all: f64 = row.iter().sum();
    row.iter().skip(greater).sum::<f64>() / all
}

/// The value in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        len if len % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_gives_the_known_bounds() {
        let (low, high) = wilson(5.0, 50.0, 1.96);
        assert!((low - 0.0435).abs() < 0.001 && (high - 0.2136).abs() < 0.001, "{low} {high}");
        assert_eq!(wilson(0.0, 0.0, 1.96), (0.0, 1.0));
        assert_eq!(wilson(0.0, 10.0, 1.96).0, 0.0);
        assert_eq!(wilson(10.0, 10.0, 1.96).1, 1.0);
        // Sizes that are known for a limit of 5 %: a clean sample is sure at 52, one with 2 % at 143.
        assert_eq!((1..).find(|n| wilson(0.0, f64::from(*n), PASS_Z).1 <= 0.05), Some(52));
    }

    #[test]
    fn the_exact_tail_is_the_binomials() {
        // Of 4 fair coins at least 3: 5 of 16.
        assert!((at_least(3.0, 4.0, 0.5) - 0.3125).abs() < 1e-9);
        assert_eq!(at_least(0.0, 4.0, 0.5), 1.0);
        assert_eq!(at_least(1.0, 4.0, 0.0), 0.0);
    }

    #[test]
    fn few_errors_at_a_small_limit_do_not_alarm() {
        // Two of twenty at 1 %: Wilson alone would say so.
        assert!(wilson(2.0, 20.0, 2.576).0 > 0.01);
        assert_eq!(share(2.0, 20.0, 0.01, FAIL_Z, FAIL_CHANCE), Sure::No);
        assert_eq!(share(20.0, 20.0, 0.05, FAIL_Z, FAIL_CHANCE), Sure::Above);
        assert_eq!(share(1.0, 20.0, 0.0, FAIL_Z, FAIL_CHANCE), Sure::Above);
        assert_eq!(share(0.0, 60.0, 0.05, FAIL_Z, FAIL_CHANCE), Sure::Below);
        assert_eq!(share(50.0, 50.0, 1.0, FAIL_Z, FAIL_CHANCE), Sure::Below);
    }

    #[test]
    fn differences_lie_around_the_point_and_narrow() {
        let count = |hits, tries| Count { hits, tries };
        let (low, high) = difference(count(40.0, 1000.0), count(10.0, 1000.0), 1.0, FAIL_Z);
        assert!(low < 0.03 && 0.03 < high && low > 0.0, "{low} {high}");
        let (nearer, _) = difference(count(4000.0, 100_000.0), count(1000.0, 100_000.0), 1.0, FAIL_Z);
        assert!(nearer > low);
        // Nothing failed in the old one: the ratio is still a sentence about bounds.
        assert!(difference(count(1.0, 20.0), count(0.0, 20.0), 2.0, FAIL_Z).0 < 0.0);
        assert!(difference(count(500.0, 1000.0), count(0.0, 1000.0), 2.0, FAIL_Z).0 > 0.0);
    }

    #[test]
    fn a_shift_of_five_against_five_is_one_of_252() {
        let (new, old) = ([6.0, 7.0, 8.0, 9.0, 10.0], [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!((shifted_up(&new, &old) - 1.0 / 252.0).abs() < 1e-9);
        assert!((shifted_up(&old, &new) - 1.0).abs() < 1e-9);
        let same = [3.0; 12];
        assert_eq!(shifted_up(&same, &same), 1.0);
        let up: Vec<f64> = (0..60).map(|i| 10.0 + f64::from(i % 7)).collect();
        let down: Vec<f64> = (0..60).map(|i| 5.0 + f64::from(i % 7)).collect();
        assert!(shifted_up(&up, &down) < 0.0001);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
