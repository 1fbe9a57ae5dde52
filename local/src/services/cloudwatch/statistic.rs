//! Names of statistics, as `PutMetricAlarm` and `GetMetricData` take them, and which of them are computed here.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html>

/// Whether a name is one of the five that every metric has.
pub(super) fn is_simple(name: &str) -> bool {
    matches!(name, "SampleCount" | "Average" | "Sum" | "Minimum" | "Maximum")
}

/// Whether a name is another one: `p99.9`, `tm90`, `IQM`, `PR(:300)`, `TM(2%:98%)`.
pub(super) fn is_extended(name: &str) -> bool {
    let is_percent = |text: &str| is_number(text, 10) && text.parse::<f64>().is_ok_and(|number| number <= 100.0);
    let of_percent = |prefix: &str| name.strip_prefix(prefix).is_some_and(is_percent);
    let of_range = |prefix: &str| {
        let range = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('('));
        range.and_then(|range| range.strip_suffix(')')?.split_once(':'))
    };
    let is_bound = |text: &str| text.is_empty() || text.strip_suffix('%').map_or(is_number(text, 10), is_percent);
    name == "IQM"
        || ["p", "tm", "tc", "ts", "wm"].into_iter().any(of_percent)
        || of_range("PR").is_some_and(|(low, high)| {
            let is_value = |text: &str| text.is_empty() || is_number(text, 10);
            low.len() + high.len() > 0 && is_value(low) && is_value(high)
        })
        || ["TM", "TC", "TS", "WM"]
            .into_iter()
            .filter_map(of_range)
            .any(|(low, high)| {
                let same = low.is_empty() || high.is_empty() || low.ends_with('%') == high.ends_with('%');
                low.len() + high.len() > 0 && same && is_bound(low) && is_bound(high)
            })
}

/// Whether the local target computes it. It has no values but in their percentiles.
pub(super) fn is_computed(name: &str) -> bool {
    is_simple(name) || name.strip_prefix('p').is_some_and(|percent| is_number(percent, 10))
}

/// Digits, and so many after a point.
fn is_number(text: &str, decimals: usize) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part) && part.len() <= decimals,
        None => digits(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_cloudwatch() {
        for name in ["SampleCount", "Average", "Sum", "Minimum", "Maximum"] {
            assert!(is_simple(name) && !is_extended(name) && is_computed(name), "{name}");
        }
        for name in ["p0", "p50", "p99.9", "p99.9999999999", "p100"] {
            assert!(is_extended(name) && is_computed(name), "{name}");
        }
        for name in [
            "tm90",
            "tc99.5",
            "ts0",
            "wm98",
            "IQM",
            "PR(:300)",
            "PR(100:2000)",
            "PR(100:)",
            "TM(2%:98%)",
            "TM(150:1000)",
            "TC(:0.5)",
            "TS(80%:)",
            "WM(10%:90%)",
        ] {
            assert!(is_extended(name) && !is_computed(name), "{name}");
        }
        for name in [
            "",
            "p",
            "p101",
            "p99.",
            "P99",
            "p-1",
            "avg",
            "sum",
            "iqm",
            "tm",
            "PR()",
            "PR(:)",
            "PR(1%:2%)",
            "TM(1:2%)",
            "TM(:101%)",
            "TM(1:2",
            "XX(1:2)",
            "p99.99999999999",
        ] {
            assert!(!is_simple(name) && !is_extended(name), "{name}");
        }
    }
}
