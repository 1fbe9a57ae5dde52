//! `requires`: the oldest taskctl that understands a template.

use super::fault::{Code, Fault};
use super::tree::{Content, Mapping};

/// A version as numbers; parts left out are 0.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let mut numbers = [0; 3];
    let parts: Vec<&str> = version.split('.').collect();
    if parts.len() > numbers.len() {
        return None;
    }
    for (number, part) in numbers.iter_mut().zip(parts) {
        *number = part.parse().ok()?;
    }
    Some(numbers)
}

/// What to say when the template needs a newer taskctl than `own`: looked at before anything else, since what else is wrong
/// may be a key that only the newer one knows. A value that is no version is left to the decoder.
pub(super) fn unmet(template: &Mapping, own: &str) -> Option<Fault> {
    let value = &template.get("requires")?.value;
    let Content::Scalar(scalar) = &value.content else {
        return None;
    };
    let required = numbers(&scalar.text)?;
    if numbers(own)? >= required {
        return None;
    }
    let message = format!("the template requires taskctl {} or later; this is {own}", scalar.text);
    Some(
        Fault::error(Code::NewerTaskctl, message)
            .at(value.span)
            .help("update taskctl"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::tree;
    use super::*;

    fn is_unmet(own: &str, required: &str) -> bool {
        let (root, _) = tree::parse(&format!("requires: {required}"));
        root.is_some_and(|root| root.as_mapping().and_then(|mapping| unmet(mapping, own)).is_some())
    }

    #[test]
    fn an_older_taskctl_is_refused() {
        for required in ["0.10", "0.2.0", "\"1\""] {
            assert!(is_unmet("0.1.7", required), "{required}");
        }
        assert!(is_unmet("0.1.7", "0.1.8"));
        for required in ["0.1", "0.1.7", "0", "0.0.9"] {
            assert!(!is_unmet("0.1.7", required), "{required}");
        }
    }
}
