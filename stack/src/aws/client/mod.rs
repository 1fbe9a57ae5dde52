//! How AWS is called: one gate for every call, with pacing, retries, polling and batching behind it.

pub(in crate::aws) mod batch;
mod call;
pub mod cancel;
pub mod clients;
pub mod context;
pub mod error;
pub(in crate::aws) mod extensions;
pub mod identity;
pub mod on_behalf;
pub mod op;
pub mod pace;
mod pages;
mod poll;
pub mod service;
pub(in crate::aws) mod tags;
