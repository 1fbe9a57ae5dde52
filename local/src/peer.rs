//! Whose process is at the other end of a connection on this machine, where the system says so (`/proc/net/tcp` on Linux).

use std::net::SocketAddr;

/// Whether a connection comes from the user that runs this process, or from root. Where the system does not say, it does.
pub(crate) fn is_own(peer: SocketAddr, local: SocketAddr) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    match user(&table, peer, local) {
        Some(user) => user == 0 || user == rustix::process::geteuid().as_raw(),
        None => true,
    }
}

/// The user of the socket of `peer` that is connected with `local`, in the kernel's table.
fn user(table: &str, peer: SocketAddr, local: SocketAddr) -> Option<u32> {
    let (from, to) = (written(peer)?, written(local)?);
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let found = fields.next() == Some(&*from) && fields.next() == Some(&*to);
        found.then(|| fields.nth(4)?.parse().ok()).flatten()
    })
}

/// An address as the table has it: bytes of the machine's order in hexadecimal digits.
fn written(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else { return None };
    let bytes = u32::from_ne_bytes(address.ip().octets());
    Some(format!("{bytes:08X}:{:04X}", address.port()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_table_names_users() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:11E4 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n\
             1: 0100007F:C001 0100007F:11E4 01 00000000:00000000 00:00000000 00000000 65534        0 2 1 0 20 4 30 10 -1\n";
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        if cfg!(target_endian = "little") {
            assert_eq!(user(table, address(0xC001), address(0x11E4)), Some(65_534));
            assert_eq!(user(table, address(0xC002), address(0x11E4)), None);
            assert!(user("", address(1), address(2)).is_none());
        }
    }

    #[test]
    fn a_connection_of_this_process_is_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, local) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        assert!(is_own(peer, local));
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        if !table.is_empty() {
            assert_eq!(user(&table, peer, local), Some(rustix::process::geteuid().as_raw()));
        }
    }
}
