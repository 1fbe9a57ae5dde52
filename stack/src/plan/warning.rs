//! Warnings of a plan: what the template asks for, or what AWS has, that an operator should know of before it is
//! exposed. They change neither what is done nor how `plan` exits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanWarning {
    /// What it is about, for programs.
    pub code: WarningCode,
    /// The warning, and what to do about it.
    pub message: String,
}

/// What a warning is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WarningCode {
    /// Routes that anyone may call.
    UnauthenticatedRoutes,
    /// A web site that is served over plain HTTP.
    PlainHttpSite,
    /// A protected stage whose template names no account.
    NoAccount,
    /// Grants of former releases that no release record can confirm.
    UnrecordedGrants,
}
