//! The label of a release: the Description of its API deployment. It says which function versions are behind it and
//! carries the fingerprint of everything the snapshot contains, so that releases can be read back from AWS alone.
//!
//! `r42 3f9a1c2b4d5e6f70 counter=3,health=3,tasks=17 git=1a2b3c4d site=0123456789ab@shop-dev-site-…`

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// API Gateway keeps at most 1,024 characters of a description.
/// <https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-deployments.html>
pub const MAX_LENGTH: usize = 1_024;

/// A parsed label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseLabel {
    /// Release number, from 1.
    pub number: u64,
    /// Hash over routes, integrations and CORS of the snapshot.
    pub fingerprint: String,
    /// Version by logical function name.
    pub versions: BTreeMap<String, String>,
    /// Commit the code came from, with a trailing `+` when the work tree was not clean.
    pub commit: Option<String>,
    /// Content of each web site, by bucket.
    pub sites: BTreeMap<String, String>,
}

impl ReleaseLabel {
    /// Reads a description; none when it is not a label.
    pub fn parse(description: &str) -> Option<Self> {
        let mut words = description.split(' ');
        let number = words.next()?.strip_prefix('r')?.parse().ok()?;
        let fingerprint = words
            .next()
            .filter(|word| word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let mut versions = BTreeMap::new();
        let mut commit = None;
        let mut sites = BTreeMap::new();
        for word in words {
            if let Some(found) = word.strip_prefix("git=") {
                commit = Some(found.to_owned());
            } else if let Some((site, bucket)) = word.strip_prefix("site=").and_then(|found| found.split_once('@')) {
                sites.insert(bucket.to_owned(), site.to_owned());
            } else {
                for pair in word.split(',').filter(|pair| !pair.is_empty()) {
                    let (function, version) = pair.split_once('=')?;
                    versions.insert(function.to_owned(), version.to_owned());
                }
            }
        }
        Some(Self {
            number,
            fingerprint: fingerprint.to_owned(),
            versions,
            commit,
            sites,
        })
    }
}

impl fmt::Display for ReleaseLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{} {}", self.number, self.fingerprint)?;
        if !self.versions.is_empty() {
            let pairs: Vec<String> = self
                .versions
                .iter()
                .map(|(name, version)| format!("{name}={version}"))
                .collect();
            write!(f, " {}", pairs.join(","))?;
        }
        if let Some(commit) = &self.commit {
            write!(f, " git={commit}")?;
        }
        for (bucket, site) in &self.sites {
            write!(f, " site={site}@{bucket}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            number in 1u64..1_000_000,
            versions in prop::collection::btree_map("[a-z][a-z0-9-]{0,20}", 1u32..1_000, 0..20),
            commit in prop::option::of("[0-9a-f]{8}\\+?"),
            sites in prop::collection::btree_map("[a-z][a-z0-9-]{2,20}", "[0-9a-f]{12}", 0..2),
        ) {
            let label = ReleaseLabel {
                number,
                fingerprint: "0123456789abcdef".to_owned(),
                versions: versions.into_iter().map(|(name, version)| (name, version.to_string())).collect(),
                commit,
                sites,
            };
            prop_assert_eq!(ReleaseLabel::parse(&label.to_string()), Some(label));
        }
    }

    #[test]
    fn what_is_not_ours_is_not_read() {
        for text in [
            "",
            "r1",
            "hello world",
            "r1 short",
            "rx 0123456789abcdef",
            "r1 0123456789abcdef a,b",
        ] {
            assert_eq!(ReleaseLabel::parse(text), None, "{text}");
        }
    }
}
