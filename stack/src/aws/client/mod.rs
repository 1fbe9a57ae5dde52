//! How AWS is called: one gate for every call, with pacing, retries, polling and batching behind it.

pub(in crate::aws) mod batch;
pub mod clients;
pub mod context;
pub mod error;
pub mod pace;
mod pages;
pub mod service;
