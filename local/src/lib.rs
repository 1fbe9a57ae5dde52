//! The local target of taskctl: one AWS endpoint over an emulated control plane, an HTTP API data plane and a Lambda
//! runtime host, all on 127.0.0.1 and with no account.

pub mod ports;
