//! Templates from text to stack, and from bad text to faults.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod faults;
mod names;
mod reading;
mod reference;
mod robust;
mod schema;
mod shipped;

use super::{Color, Loaded, Options, Source, load};

/// The template read for a stage; panics with the rendered faults.
fn read(text: &str, stage: &str) -> Loaded {
    match load(&Source::new("taskctl.yaml", text), stage, &Options::default()) {
        Ok(loaded) => loaded,
        Err(faults) => panic!("{}", faults.render(Color::Plain)),
    }
}

/// The rendered faults of a template that is refused.
fn faults(text: &str) -> String {
    match load(&Source::new("taskctl.yaml", text), "dev", &Options::default()) {
        Ok(loaded) => panic!(
            "read without fault; warnings:\n{}",
            loaded.warnings.render(Color::Plain)
        ),
        Err(faults) => faults.render(Color::Plain),
    }
}
