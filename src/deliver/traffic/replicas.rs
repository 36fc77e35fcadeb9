//! How many pods each side has: to carry a weight, or, where there is no router, to be the weight.

/// Bounds of a canary's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// At least so many.
    pub min: u32,
    /// At most so many.
    pub max: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { min: 1, max: u32::MAX }
    }
}

/// Pods of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pods {
    /// Of the version that serves.
    pub stable: u32,
    /// Of the canary.
    pub canary: u32,
}

/// Pods of the canary that carry `weight` percent as well as `stable` pods carry all.
pub fn for_weight(stable: u32, weight: u32, bounds: Bounds) -> u32 {
    let exact = (u64::from(stable) * u64::from(weight.min(100))).div_ceil(100);
    u32::try_from(exact).unwrap_or(u32::MAX).clamp(bounds.min.max(1), bounds.max.max(1))
}

/// Pods of both sides whose shares of one Service come nearest to `weight`, with `total` pods in sum. Short of 100 % neither
/// side is without a pod, above 0 % the canary has one.
pub fn divided(total: u32, weight: u32) -> Pods {
    let weight = u64::from(weight.min(100));
    let total = total.max(1);
    if weight == 0 {
        return Pods { stable: total, canary: 0 };
    }
    if weight == 100 {
        return Pods { stable: 0, canary: total };
    }
    let nearest = u32::try_from((u64::from(total) * weight + 50) / 100).unwrap_or(total);
    let canary = nearest.clamp(1, total.saturating_sub(1).max(1));
    Pods { stable: (total - canary.min(total)).max(1), canary }
}

impl Pods {
    /// The canary's share in percent; none without pods.
    pub fn share(self) -> Option<u32> {
        super::share(self.canary.into(), self.stable.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_as_large_as_its_weight_asks() {
        assert_eq!(for_weight(10, 25, Bounds::default()), 3);
        assert_eq!(for_weight(3, 10, Bounds::default()), 1);
        assert_eq!(for_weight(20, 50, Bounds { min: 1, max: 5 }), 5);
        assert_eq!(for_weight(2, 0, Bounds { min: 2, max: 5 }), 2);
        assert_eq!(for_weight(0, 0, Bounds { min: 0, max: 0 }), 1);
    }

    #[test]
    fn pods_are_the_weight_where_there_is_no_router() {
        assert_eq!(divided(10, 10), Pods { stable: 9, canary: 1 });
        assert_eq!(divided(4, 10), Pods { stable: 3, canary: 1 });
        assert_eq!(divided(4, 50), Pods { stable: 2, canary: 2 });
        assert_eq!(divided(3, 90), Pods { stable: 1, canary: 2 });
        assert_eq!(divided(3, 100), Pods { stable: 0, canary: 3 });
        assert_eq!(divided(3, 0), Pods { stable: 3, canary: 0 });
    }

    #[test]
    fn one_pod_is_divided_by_a_second() {
        assert_eq!(divided(1, 25), Pods { stable: 1, canary: 1 });
        assert_eq!(divided(1, 25).share(), Some(50));
    }
}
