//! What AWS services have in common on the wire: how a request says what it calls, bodies, errors in each service's
//! words, CBOR and XML; and the connection to the emulator.

pub(crate) mod cbor;
pub(crate) mod classify;
pub(crate) mod emulator_client;
pub(crate) mod fault;
pub(crate) mod http;
pub(crate) mod server;
pub(crate) mod xml;

/// Paths that belong to the local target itself, not to AWS.
pub(crate) const OWN_PATHS: &str = "/_taskctl/";
