//! IAM policies: the document, what it allows, and the two that are generated.

mod arns;
pub mod deployer;
pub mod document;
pub mod evaluation;
pub mod grants;
pub mod reach;
