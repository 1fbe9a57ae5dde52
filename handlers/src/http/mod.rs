//! Requests, responses and errors of the HTTP API, independent of how they come in. Not the routes themselves.

mod body;
mod failure;
mod json;
mod matching;
mod query;
mod request;
mod response;
mod router;

pub(crate) use body::check_length;
pub use body::{Fields, Given};
pub use failure::Failure;
pub(crate) use failure::shortened;
pub use json::Members;
pub use matching::{IfMatch, etag};
pub use query::Query;
pub use request::{Body, Request};
pub use response::Response;
pub use router::{Function, RouteSpec, path_parameter, resolve};
