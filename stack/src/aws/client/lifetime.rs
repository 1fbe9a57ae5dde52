//! How long credentials last. Those that a provider fetches are renewed by it; a session that was handed over in variables or in a
//! profile ends, and with it whatever it has begun.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::credential_feature::AwsCredentialFeature;
use jiff::Timestamp;

/// How long credentials last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as they are needed: keys of a user, or a session that is renewed.
    Renewed,
    /// Until a time; none when nobody said which.
    Ends(Option<Timestamp>),
}

/// What a session of unknown end is trusted to last: the shortest that AWS usually gives out lasts an hour, and has begun.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use.html>
const TRUSTED_FOR: Duration = Duration::from_secs(45 * 60);

/// What is left at the end to set things right.
const TO_SPARE: Duration = Duration::from_secs(5 * 60);

impl Lifetime {
    /// Of credentials. `ends`: when they end, where the environment says so.
    pub(super) fn of(credentials: &Credentials, ends: Option<Timestamp>) -> Self {
        let features = credentials.get_property::<Vec<AwsCredentialFeature>>();
        let is_handed_over = features.is_some_and(|features| {
            let handed = |feature: &AwsCredentialFeature| {
                matches!(
                    feature,
                    AwsCredentialFeature::CredentialsEnvVars | AwsCredentialFeature::CredentialsProfile
                )
            };
            !features.is_empty() && features.iter().all(handed)
        });
        if credentials.session_token().is_none() || !is_handed_over {
            return Self::Renewed;
        }
        let known = credentials.expiry().and_then(|at| Timestamp::try_from(at).ok());
        Self::Ends(known.or(ends))
    }

    /// Whether they surely outlast work that begins now.
    pub fn outlasts(self, work: Duration, now: Timestamp) -> bool {
        match self {
            Self::Renewed => true,
            Self::Ends(None) => work <= TRUSTED_FOR,
            Self::Ends(Some(end)) => now
                .checked_add(work.saturating_add(TO_SPARE))
                .is_ok_and(|done| done <= end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn lifetime(token: Option<&str>, features: &[AwsCredentialFeature], ends: Option<Timestamp>) -> Lifetime {
        let mut credentials = Credentials::new("key", "secret", token.map(str::to_owned), None, "test");
        credentials.set_property(features.to_vec());
        Lifetime::of(&credentials, ends)
    }

    #[test]
    fn only_a_session_that_was_handed_over_ends() {
        use AwsCredentialFeature::{CredentialsEnvVars, CredentialsProfile, CredentialsProfileSourceProfile};
        use AwsCredentialFeature::{CredentialsProfileSso, CredentialsStsAssumeRole};
        let end = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(lifetime(None, &[CredentialsEnvVars], None), Lifetime::Renewed);
        assert_eq!(lifetime(Some("t"), &[CredentialsEnvVars], None), Lifetime::Ends(None));
        assert_eq!(lifetime(Some("t"), &[CredentialsEnvVars], end), Lifetime::Ends(end));
        assert_eq!(lifetime(Some("t"), &[CredentialsProfile], None), Lifetime::Ends(None));
        let assumed = [
            CredentialsProfileSourceProfile,
            CredentialsProfile,
            CredentialsStsAssumeRole,
        ];
        assert_eq!(lifetime(Some("t"), &assumed, end), Lifetime::Renewed);
        assert_eq!(lifetime(Some("t"), &[CredentialsProfileSso], end), Lifetime::Renewed);
        assert_eq!(lifetime(Some("t"), &[], end), Lifetime::Renewed);
    }

    #[test]
    fn work_must_end_before_the_session_does() {
        let now = Timestamp::UNIX_EPOCH;
        let ends = |minutes: i64| Lifetime::Ends(Timestamp::from_second(minutes * 60).ok());
        assert!(Lifetime::Renewed.outlasts(600 * MINUTE, now));
        assert!(Lifetime::Ends(None).outlasts(45 * MINUTE, now));
        assert!(!Lifetime::Ends(None).outlasts(46 * MINUTE, now));
        assert!(ends(60).outlasts(55 * MINUTE, now));
        assert!(!ends(60).outlasts(56 * MINUTE, now));
        assert!(!ends(0).outlasts(MINUTE, now));
    }
}
