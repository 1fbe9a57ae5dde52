//! The resource kinds by AWS service. A kind is a folder or file here, and a line in [`registry`].

pub mod apigateway;
pub mod before_live;
pub mod cloudwatch;
pub mod dynamodb;
pub mod events;
mod granted;
pub mod iam;
pub mod kind;
pub mod lambda;
pub mod logs;
pub mod placeholder;
#[cfg(test)]
mod recorded;
pub mod registry;
pub mod s3;
pub mod site;
pub mod sns;
