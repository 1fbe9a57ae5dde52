//! Listening on a port of 127.0.0.1, and naming the process that has it when it is taken.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use tokio::net::TcpListener;

use crate::error::LocalError;

/// Name of the part that listens on the port of the AWS endpoint.
pub(crate) const ENDPOINT: &str = "AWS endpoint";
/// Name of the part that listens on the port of the websites.
pub(crate) const WEBSITES: &str = "websites";

/// Listens on 127.0.0.1 only.
pub(crate) async fn listen(port: u16, part: &'static str) -> Result<TcpListener, LocalError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => LocalError::PortTaken {
                port,
                part,
                holder: holder(port),
            },
            _ => LocalError::io("listening on a port for", Path::new(part), source),
        })
}

/// The process that listens on a port, e.g. `python3 (process 4711)`, when that can be known without more rights.
pub(crate) fn holder(port: u16) -> Option<String> {
    if Path::new("/proc/net/tcp").exists() {
        of_proc(port)
    } else {
        of_lsof(port)
    }
}

fn of_proc(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .find_map(|table| listening_inode(&table, port))?;
    let wanted = format!("socket:[{inode}]");
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let descriptors = std::fs::read_dir(process.path().join("fd")).ok()?;
        let has = descriptors.flatten().any(|descriptor| {
            std::fs::read_link(descriptor.path()).is_ok_and(|target| target.to_string_lossy() == wanted)
        });
        let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        has.then(|| format!("{} (process {pid})", name.trim()))
    })
}

/// The inode of the socket that listens on a port, in the kernel's table.
fn listening_inode(table: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let found = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        (found == port && *state == LISTEN).then(|| (*inode).to_owned())
    })
}

fn of_lsof(port: u16) -> Option<String> {
    let output = Command::new("lsof")
        .args(["-nP", &format!("-iTCP:{port}"), "-sTCP:LISTEN", "-Fpc"])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let field = |tag| text.lines().find_map(|line| line.strip_prefix(tag));
    Some(format!("{} (process {})", field('c')?, field('p')?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use super::*;

    #[test]
    fn kernel_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:11E4 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 98765 1 0\n   \
                     1: 0100007F:11E5 0100007F:11E4 01 00000000:00000000 00:00000000 00000000     0        0 11111 1 0\n";
        assert_eq!(listening_inode(table, 4580).as_deref(), Some("98765"));
        assert_eq!(listening_inode(table, 4581), None);
    }

    #[tokio::test]
    async fn taken_port_names_its_holder() {
        let first = listen(0, "AWS endpoint").await.unwrap();
        let port = first.local_addr().unwrap().port();
        let error = listen(port, "AWS endpoint").await.unwrap_err();
        let LocalError::PortTaken {
            port: named, holder, ..
        } = &error
        else {
            unreachable!("{error:?}")
        };
        assert_eq!(*named, port);
        if Path::new("/proc/net/tcp").exists() {
            assert!(
                holder
                    .as_ref()
                    .unwrap()
                    .contains(&format!("process {}", std::process::id())),
                "{error}"
            );
        }
        assert!(error.hint().unwrap().contains("--local-port"));
    }
}
