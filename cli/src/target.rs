//! Where a command works: AWS, an emulator, or this machine; as whom, and in which region.

use taskctl_local::{AskedPorts, DaemonCommand, LocalOptions, UpProgress};
use taskctl_stack::aws::client::clients::{Connection, is_in_the_clear};
use taskctl_stack::event::{Event, Events};
use taskctl_stack::package::Destination;
use taskctl_stack::partition::website_host;
use taskctl_stack::release::canary::Metering;

use crate::cli::{BY_HTTPS, Global, IN_THE_CLEAR};
use crate::env::Env;
use crate::failure::Failure;
use crate::project_discovery::distrust;

/// Where the stack is deployed.
#[derive(Debug, Clone)]
pub enum Target {
    /// On AWS, or on an emulator that is named by its URL.
    Aws,
    /// On this machine.
    Local(LocalOptions),
}

impl Target {
    /// The place that the arguments name.
    pub fn of(global: &Global, env: &Env) -> Self {
        if global.target.local {
            Self::Local(local_options(global, env))
        } else {
            Self::Aws
        }
    }

    /// Where functions run.
    pub fn destination(&self) -> Destination {
        match self {
            Self::Aws => Destination::Lambda,
            Self::Local(_) => Destination::ThisMachine,
        }
    }

    /// Whether accounts of templates mean nothing here.
    pub fn has_own_account(&self, global: &Global) -> bool {
        match self {
            Self::Aws => global.target.endpoint_url.is_some(),
            Self::Local(_) => true,
        }
    }

    /// When metrics can be believed.
    pub fn metering(&self) -> Metering {
        match self {
            Self::Aws => Metering::AWS,
            Self::Local(_) => Metering::LOCAL,
        }
    }

    /// How AWS is reached, once this place is ready.
    pub async fn connection(
        &self,
        global: &Global,
        region: &str,
        endpoints: &[(String, String)],
        events: &Events,
    ) -> Result<Connection, Failure> {
        let region = region.to_owned();
        match self {
            // One that is given counts before those of the environment.
            Self::Aws if global.target.endpoint_url.is_none() => {
                for (name, url) in endpoints {
                    if is_in_the_clear(url) {
                        return Err(Failure::usage(format!("{name}={url}: {IN_THE_CLEAR}"), BY_HTTPS));
                    }
                }
                Ok(Connection {
                    region,
                    profile: global.target.profile.clone(),
                    endpoint_url: None,
                    ..Connection::default()
                })
            }
            Self::Aws => Ok(Connection {
                region,
                profile: global.target.profile.clone(),
                endpoint_url: global.target.endpoint_url.clone(),
                ..Connection::default()
            }),
            Self::Local(options) => {
                let status = up(options, events).await?;
                let key = taskctl_local::credentials(options, taskctl_local::DEFAULT_ACCOUNT, None)?;
                Ok(Connection {
                    region,
                    profile: None,
                    endpoint_url: Some(status.endpoint_url),
                    credentials: Some((key.access_key_id, key.secret_access_key)),
                    session_ends: None,
                })
            }
        }
    }

    /// URL at which the web site of a bucket is served.
    pub fn website_url(&self, bucket: &str, region: &str) -> String {
        match self {
            Self::Aws => aws_website_url(bucket, region),
            Self::Local(options) => format!("http://{bucket}.localhost:{}", options.ports().websites),
        }
    }
}

/// Makes sure that the local target runs.
pub async fn up(options: &LocalOptions, events: &Events) -> Result<taskctl_local::LocalStatus, Failure> {
    // The emulator's program is run from there.
    for folder in [&options.cache, &options.cache.join("emulator")] {
        if let Some(distrust) = distrust(folder) {
            return Err(distrust.failure(folder, "to use another folder: TASKCTL_CACHE=DIR"));
        }
    }
    let daemon = DaemonCommand::current()?;
    let tell = |progress| {
        let message = match progress {
            UpProgress::InstallingEmulator { version } => {
                format!("installing the emulator (ministack {version}); this happens once and takes up to a minute")
            }
            UpProgress::WaitingForAnother => "another taskctl is starting the local target; waiting for it".to_owned(),
            UpProgress::WaitingForAnswer => "the local target does not answer; giving it time".to_owned(),
            UpProgress::Replacing => {
                "the local target runs with another version or other ports; restarting it".to_owned()
            }
            UpProgress::Starting => "starting the local target".to_owned(),
            UpProgress::OtherPort {
                part,
                wanted,
                holder,
                port,
            } => match holder {
                Some(holder) => format!("port {wanted} is taken by {holder}; using port {port} for the {part}"),
                None => format!("port {wanted} is taken; using port {port} for the {part}"),
            },
            UpProgress::Ready => return,
        };
        events.emit(Event::Note { message });
    };
    Ok(taskctl_local::up(options, &daemon, tell).await?)
}

/// The settings of the local target here.
pub fn local_options(global: &Global, env: &Env) -> LocalOptions {
    let root = env.local_root.clone().unwrap_or_else(|| env.keep().join("local"));
    LocalOptions {
        asked: AskedPorts {
            endpoint: global.target.local_port,
            websites: global.target.local_website_port,
            first_api: None,
        },
        python: env.local_python.clone(),
        settling_ms: env.local_settling_ms,
        ..LocalOptions::new(&root, &env.cache)
    }
}

/// Where AWS serves the web site of a bucket.
fn aws_website_url(bucket: &str, region: &str) -> String {
    format!("http://{}", website_host(bucket, region))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn website_endpoints_are_spelled_as_the_region_does() {
        let check = |region, expected| assert_eq!(aws_website_url("b", region), expected);
        check("eu-west-1", "http://b.s3-website-eu-west-1.amazonaws.com");
        check("eu-central-1", "http://b.s3-website.eu-central-1.amazonaws.com");
        check("cn-north-1", "http://b.s3-website.cn-north-1.amazonaws.com.cn");
    }
}
