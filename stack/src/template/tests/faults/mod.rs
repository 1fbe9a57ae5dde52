//! Bad templates, and what is said of them.

mod api;
mod names;
mod references;
mod rendering;
mod services;
mod stages;
mod text;
mod words;

use super::{faults, read};
use crate::template::{Code, Options, Source, load};

/// A template around a few lines, so that only they are at fault.
fn with(lines: &str) -> String {
    format!("app: shop\nregion: eu-central-1\n{lines}\n")
}

/// The codes of the faults of a template, in the order they are told.
fn codes(text: impl Into<Vec<u8>>) -> Vec<Code> {
    match load(&Source::new("taskctl.yaml", text), "dev", &Options::default()) {
        Ok(loaded) => loaded.warnings.list().iter().map(|fault| fault.code).collect(),
        Err(faults) => faults.list().iter().map(|fault| fault.code).collect(),
    }
}
