//! Profiles of the shared configuration files.

use std::borrow::Cow;

use aws_config::profile::load;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};

use crate::aws::client::error::{AwsError, ErrorKind};

/// Refuses a profile that does not exist: the SDK would look for credentials elsewhere.
pub(super) async fn check(name: &str) -> Result<(), AwsError> {
    let chosen = Some(Cow::Owned(name.to_owned()));
    let profiles = load(&Fs::real(), &Env::real(), &EnvConfigFiles::default(), chosen).await;
    let profiles = profiles.map_err(|error| refused(format!("the profiles cannot be read: {error}")))?;
    match profiles.get_profile(name) {
        Some(_) => Ok(()),
        None => Err(refused(missing(name, profiles.profiles()))),
    }
}

fn refused(message: String) -> AwsError {
    AwsError::own("sts", "GetCallerIdentity", ErrorKind::Credentials, message)
}

/// Says that a profile is not there, and which are.
fn missing<'a>(name: &str, profiles: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = profiles.collect();
    known.sort_unstable();
    match known.is_empty() {
        true => format!("there is no profile `{name}`: the AWS configuration files have none"),
        false => format!("there is no profile `{name}`; there are: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_profile_is_named_with_those_that_there_are() {
        assert_eq!(
            missing("nope", ["work", "default"].into_iter()),
            "there is no profile `nope`; there are: default, work"
        );
        assert_eq!(
            missing("nope", std::iter::empty()),
            "there is no profile `nope`: the AWS configuration files have none"
        );
    }
}
