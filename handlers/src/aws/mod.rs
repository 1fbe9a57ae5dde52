//! The ports on AWS: DynamoDB, S3, and the client configuration that Lambda's environment gives. Nothing else in this crate names the SDK.

mod attributes;
mod bucket;
mod counter;
mod environment;
mod errors;
mod table;
mod thaw;

pub use bucket::S3Objects;
pub use counter::{DynamoCounter, DynamoProbe};
pub use environment::{Environment, EnvironmentError, number, optional, required};
pub use table::DynamoStore;

#[cfg(test)]
mod replay;
#[cfg(test)]
mod tests;
