//! Which ports a local target gets: those that are asked for; else its last ones; else the first that no other program listens on
//! and no other local target of the user has. A port is had by listening on it, so that two that start at once do not get the same.

use std::io;
use std::iter;

use tokio::net::TcpListener;

use super::port::{ENDPOINT, WEBSITES, listen};
use crate::error::LocalError;
use crate::options::{DEFAULT_FIRST_API_PORT, DEFAULT_PORT, DEFAULT_WEBSITE_PORT, LocalOptions, Ports};
use crate::targets::{self, Target};

/// How many ports from the default on are tried before any port of the system's choice.
const NEAR: u16 = 20;
/// Ports of HTTP APIs that each local target has for itself, as long as it has no more APIs.
const APIS: usize = 100;

/// The ports, and the sockets that listen on them.
pub(super) struct Claim {
    pub ports: Ports,
    pub endpoint: TcpListener,
    pub websites: TcpListener,
}

/// Takes the ports of a local target, and remembers them for it.
pub(super) async fn claim(options: &LocalOptions) -> Result<Claim, LocalError> {
    let _alone = targets::lock(&options.cache)?;
    let mut others = targets::all(&options.cache)?;
    others.retain(|target| target.root != options.root);
    let (asked, last) = (options.asked, options.last_ports());

    let wanted = near(last.map(|last| last.endpoint), DEFAULT_PORT);
    let (endpoint, endpoint_port) = take(asked.endpoint, wanted, ENDPOINT, &others).await?;
    let wanted = near(last.map(|last| last.websites), DEFAULT_WEBSITE_PORT);
    let (websites, websites_port) = take(asked.websites, wanted, WEBSITES, &others).await?;
    let ports = Ports {
        endpoint: endpoint_port,
        websites: websites_port,
        first_api: asked
            .first_api
            .unwrap_or_else(|| first_api(last.map(|last| last.first_api), &others)),
    };
    options.keep_ports(&ports)?;
    targets::register(options, &ports)?;
    Ok(Claim {
        ports,
        endpoint,
        websites,
    })
}

/// The last port, then the default one and its neighbours, then any.
fn near(last: Option<u16>, default: u16) -> impl Iterator<Item = u16> {
    const ANY: u16 = 0;
    last.into_iter().chain(default..default + NEAR).chain(iter::once(ANY))
}

async fn take(
    asked: Option<u16>,
    wanted: impl Iterator<Item = u16>,
    part: &'static str,
    others: &[Target],
) -> Result<(TcpListener, u16), LocalError> {
    let taken = |listener: TcpListener| {
        let address = listener.local_addr();
        let address = address.map_err(|source| LocalError::io("listening on a port for", part.as_ref(), source))?;
        Ok((listener, address.port()))
    };
    if let Some(port) = asked {
        return taken(listen(port, part).await?);
    }
    for port in wanted.filter(|port| others.iter().all(|other| !other.has(*port))) {
        match listen(port, part).await {
            Ok(listener) => return taken(listener),
            // Another program has it, or it is not for every user.
            Err(LocalError::PortTaken { .. }) => {}
            Err(LocalError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    Err(LocalError::NoPort { part })
}

/// Where the ports of HTTP APIs begin that no other local target has.
fn first_api(last: Option<u16>, others: &[Target]) -> u16 {
    let free = |port: &u16| others.iter().all(|other| other.ports.first_api != *port);
    let blocks = (DEFAULT_FIRST_API_PORT..u16::MAX).step_by(APIS);
    last.into_iter()
        .chain(blocks)
        .find(free)
        .unwrap_or(DEFAULT_FIRST_API_PORT)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// These tests take ports of this machine, and must not take each other's.
    static PORTS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    fn options(folder: &Path, root: &str) -> LocalOptions {
        let options = LocalOptions::new(&folder.join(root), &folder.join("cache"));
        std::fs::create_dir_all(&options.root).unwrap();
        options
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn targets_that_start_at_once_get_ports_of_their_own() {
        let _alone = PORTS.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let starts = (0..8).map(|number| {
            let options = options(folder.path(), &format!("root-{number}"));
            tokio::spawn(async move { claim(&options).await })
        });
        let claims = futures::future::join_all(starts).await;
        let claims: Vec<Claim> = claims.into_iter().map(|claim| claim.unwrap().unwrap()).collect();
        let of = |port: fn(&Ports) -> u16| claims.iter().map(|claim| port(&claim.ports)).collect::<BTreeSet<u16>>();
        for ports in [
            of(|ports| ports.endpoint),
            of(|ports| ports.websites),
            of(|ports| ports.first_api),
        ] {
            assert_eq!(ports.len(), 8, "{ports:?}");
        }
        assert_eq!(of(|ports| ports.first_api).last(), Some(&5300));
        for claim in &claims {
            assert_eq!(claim.endpoint.local_addr().unwrap().port(), claim.ports.endpoint);
            assert_eq!(claim.websites.local_addr().unwrap().port(), claim.ports.websites);
        }
    }

    #[tokio::test]
    async fn ports_are_kept_while_the_target_rests() {
        let _alone = PORTS.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (options(folder.path(), "one"), options(folder.path(), "other"));
        let first = claim(&one).await.unwrap().ports;
        // It rests now, and its ports are free.
        let second = claim(&other).await.unwrap();
        assert_ne!(second.ports.endpoint, first.endpoint);
        assert_ne!(second.ports.websites, first.websites);
        assert_ne!(second.ports.first_api, first.first_api);
        assert_eq!(claim(&one).await.unwrap().ports, first);
        // Others take them once its root is gone.
        std::fs::remove_dir_all(&one.root).unwrap();
        let third = options(folder.path(), "third");
        assert_eq!(claim(&third).await.unwrap().ports.first_api, first.first_api);
    }

    #[tokio::test]
    async fn a_port_of_another_program_is_given_up_unless_it_is_asked_for() {
        let _alone = PORTS.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(folder.path(), "root");
        let before = claim(&options).await.unwrap().ports;
        let program = listen(before.endpoint, ENDPOINT).await.unwrap();
        let after = claim(&options).await.unwrap().ports;
        assert_ne!(after.endpoint, before.endpoint);
        assert_eq!((after.websites, after.first_api), (before.websites, before.first_api));

        options.asked.endpoint = Some(before.endpoint);
        let error = claim(&options).await.err().unwrap();
        assert!(matches!(error, LocalError::PortTaken { .. }), "{error:?}");
        assert_eq!(options.last_ports(), Some(after), "a failed start changes nothing");
        drop(program);
        assert_eq!(claim(&options).await.unwrap().ports.endpoint, before.endpoint);
    }
}
