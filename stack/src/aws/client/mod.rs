//! How AWS is called: one gate for every call, with pacing, retries, polling and batching behind it.

pub(in crate::aws) mod batch;
pub(in crate::aws) mod body;
mod call;
pub mod cancel;
pub mod clients;
pub mod context;
pub mod error;
pub(in crate::aws) mod extensions;
#[cfg(test)]
pub(crate) mod fake;
pub mod http_client;
pub mod identity;
pub mod lifetime;
pub mod on_behalf;
pub mod op;
pub mod pace;
pub(crate) mod pages;
mod poll;
mod profile;
pub mod service;
pub(in crate::aws) mod tags;
