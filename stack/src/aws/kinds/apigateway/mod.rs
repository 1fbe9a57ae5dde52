//! HTTP APIs of API Gateway.

pub mod api;
pub mod deployment;
pub mod integration;
pub mod route;
pub mod stage;
pub mod state;
