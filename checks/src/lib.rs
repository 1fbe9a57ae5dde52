//! Request checks: what an API must answer, written as YAML. One source for the gate before a release goes live, for
//! `taskctl check`, and for Postman.

mod assertion;
mod junit;
mod load;
mod model;
mod path;
mod postman;
mod run;
mod shipped;
mod variables;

pub use assertion::{Assertion, JsonType, Subject, Test};
pub use junit::junit;
pub use load::{Latency, Load, LoadReport, Model, Progress, Second, StepReport, load};
pub use model::{Check, CheckError, Expect, Folder, Parts, Request, Suite, parse, read_folder};
pub use path::{Path, PathError};
pub use postman::{collection, environment};
pub use run::{Client, Incoming, Options, Outcome, Outgoing, Report, State, Verdict, Writes, run};
pub use shipped::{FILES, OPENAPI, shipped};
