//! Support for the end-to-end tests: processes, ports, HTTP, fault injection.
